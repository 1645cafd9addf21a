//! Bank or cash: the payer is told what to do, and a person says that it came.

use super::{Access, Adapter, Answering, AttemptOutcome, AttemptRequest, Notice, at_once};
use crate::modules::payment::{
    contract::{PayoutOutcome, PayoutRequest},
    model::Setup,
};

pub const DEFAULT_INSTRUCTIONS: &str = "Transfer {amount} {currency} with the reference {reference}.";

pub struct Manual;

impl Adapter for Manual {
    fn create(&self, request: AttemptRequest) -> Answering<AttemptOutcome> {
        let template = request.setup.instructions.as_deref().unwrap_or(DEFAULT_INSTRUCTIONS);
        let currency = request.amount.currency();
        let parts = [
            ("{reference}", request.payment.to_string()),
            ("{amount}", currency.show(request.amount.minor())),
            ("{currency}", currency.code.to_string()),
        ];
        let instructions =
            parts.iter().fold(template.to_owned(), |text, (name, value)| text.replace(name, value));
        let notices = vec![Notice::AwaitsPayer { reference: None }];
        at_once(AttemptOutcome { instructions: Some(instructions), ..AttemptOutcome::of(notices) })
    }

    fn retrieve(&self, request: AttemptRequest) -> Answering<AttemptOutcome> {
        self.create(request)
    }

    /// Nothing is ever set aside.
    fn capture(&self, _: AttemptRequest) -> Answering<AttemptOutcome> {
        at_once(AttemptOutcome::of(vec![Notice::AwaitsPayer { reference: None }]))
    }

    /// A person sends it, and says so when it has arrived.
    fn payout(&self, request: PayoutRequest, _: Setup, _: Access) -> Answering<PayoutOutcome> {
        at_once(PayoutOutcome::Sent { reference: request.reference })
    }

    fn check(&self, setup: Setup, _: Access) -> Answering<Result<String, String>> {
        at_once(match check_template(setup.instructions.as_deref().unwrap_or(DEFAULT_INSTRUCTIONS)) {
            Ok(()) => Ok("the instructions are complete".to_owned()),
            Err(problem) => Err(problem),
        })
    }
}

/// A template names nothing but what is filled in, and the reference at least: without it nobody can tell whose money
/// came.
pub fn check_template(template: &str) -> Result<(), String> {
    let mut rest = template;
    while let Some((_, from)) = rest.split_once('{') {
        let Some((name, after)) = from.split_once('}') else {
            return Err("a { is not closed".to_owned());
        };
        if !["reference", "amount", "currency"].contains(&name) {
            return Err(format!("{{{name}}} is none of {{reference}}, {{amount}}, {{currency}}"));
        }
        rest = after;
    }
    if template.contains("{reference}") { Ok(()) } else { Err("{reference} is missing".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_names_the_reference_and_nothing_unknown() {
        for (template, wanted) in [
            (DEFAULT_INSTRUCTIONS, None),
            ("IBAN X, {reference}", None),
            ("IBAN X", Some("{reference} is missing")),
            ("{reference} {iban}", Some("{iban} is none of {reference}, {amount}, {currency}")),
            ("{reference} {", Some("a { is not closed")),
        ] {
            assert_eq!(check_template(template).err().as_deref(), wanted, "{template}");
        }
    }
}
