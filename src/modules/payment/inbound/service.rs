//! Judging what a gateway tells, and acting on it.

use std::sync::Arc;

use super::{
    KEPT,
    message::{About, AddressTransfer, Message, Signed},
    signature::verify,
};
use crate::{
    kernel::{
        api::{call::Caller, endpoint::RawBytes, principal::ClientId},
        clock::Time,
        error::{Result, fault},
        events::worker::Job,
        id::parse,
        store::{
            Index, Key as _, ReadTx, Scan, Table, WriteTx,
            codec::{Decode, Encode, row},
        },
    },
    modules::{
        client::contract::ClientMode,
        payment::{
            adapter::{
                Notice, RefundOutcome,
                crypto::Transfer,
                stripe::{Intent, Payout, PayoutStatus, Refund, RefundStatus},
            },
            contract::{AttemptId, GatewayId, PaymentId, PaymentRefusal},
            crypto::attempt_at,
            events::PayoutReported,
            model::Gateway,
            refund::repository::REFUNDS,
            repository::{ATTEMPTS, GATEWAYS, GATEWAYS_BY_ID},
            service::{Case, Payments, Try, attempt_of_reference, gateway},
        },
    },
};

/// (client, gateway, the gateway's id of a message) → when it came
pub const SEEN: Table<(ClientId, GatewayId, String), Seen> = Table::new("payment.webhooks_seen")
    .with_indexes(&[Index::listing(BY_TIME, |_, row| vec![row.at.to_key()])]);
const BY_TIME: &str = "payment.webhooks_seen_by_time";

/// That a message was acted on.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Seen {
    pub at: Time,
}
row!(Seen);

/// The headers a signature stands in: ours, and Stripe's own.
const HEADERS: [&str; 2] = ["gateway-signature", "stripe-signature"];

/// How many ids are forgotten in one transaction.
const PRUNED: usize = 1000;

/// A message of a gateway that signed it.
pub struct Judged {
    client: ClientId,
    gateway: GatewayId,
    message: Message,
}

impl Payments {
    /// What came, when this gateway signed it. Refuses `webhook_refused`, whatever is wrong with it.
    pub fn judge_webhook(&self, tx: &ReadTx, heard: &RawBytes<GatewayId>) -> Result<Judged> {
        let signature =
            HEADERS.iter().find_map(|it| heard.headers.get(*it)?.to_str().ok()).unwrap_or_default();
        let found = tx.find(&GATEWAYS, GATEWAYS_BY_ID, &heard.path)?;
        let access = match &found {
            Some(((client, id), _)) => self.access(tx, *client, *id)?,
            None => Default::default(),
        };
        // A gateway that does not exist, or has no secret, takes as long as one that has.
        let secret = access.webhook_secret.as_ref().map_or(&b"-"[..], |it| it.as_bytes());
        let is_signed = verify(secret, signature, &heard.body, tx.now()) & access.webhook_secret.is_some();
        let (Some(((client, id), _)), true) = (found, is_signed) else {
            return Err(PaymentRefusal::WebhookRefused.into());
        };
        let message = Message::read(&heard.body).map_err(|problem| {
            tracing::warn!(gateway.id = %id, "A message of {id} is not understood: {problem}");
            PaymentRefusal::WebhookRefused
        })?;
        Ok(Judged { client, gateway: id, message })
    }

    /// Acts on it, once.
    pub fn take_webhook(&self, tx: &mut WriteTx, _: &Caller, judged: Judged) -> Result<()> {
        let Judged { client, gateway: id, message } = judged;
        let row = gateway(tx, client, id)?;
        self.act(tx, &Caller::system(Some(client)), (client, id, &row), message)
    }

    /// The same of a gateway inside of this process, by the same rules.
    pub fn take_signed(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        (client, id, row): (ClientId, GatewayId, &Gateway),
        signed: &Signed,
    ) -> Result<()> {
        let access = self.access(tx, client, id)?;
        let secret = access.webhook_secret.as_ref().ok_or_else(|| fault!("{id} has no webhook_secret"))?;
        if !verify(secret.as_bytes(), &signed.signature, &signed.body, tx.now()) {
            return Err(fault!("{id} does not sign what it sends itself"));
        }
        let message =
            Message::read(&signed.body).map_err(|it| fault!("{id} does not understand itself: {it}"))?;
        self.act(tx, caller, (client, id, row), message)
    }

    fn act(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        (client, id, row): (ClientId, GatewayId, &Gateway),
        message: Message,
    ) -> Result<()> {
        let key = (client, id, message.id.clone());
        if tx.exists(&SEEN, &key)? {
            return Ok(());
        }
        let is_live = self.clients.get(tx, client)?.mode == ClientMode::Live;
        if message.is_live.is_some_and(|it| it != is_live) {
            tracing::warn!(gateway.id = %id, "{} of {id} is of the other mode; it is let pass", message.id);
            return Ok(());
        }

        tx.insert(&SEEN, &key, &Seen { at: tx.now() })?;
        match message.about {
            About::Intent { intent, attempt } => self.hear_intent(tx, caller, (client, id), intent, attempt),
            About::Refund(refund) => self.hear_refund(tx, caller, (client, id), refund),
            About::Dispute(word) => self.hear_dispute(tx, caller, (client, id), word),
            About::Payout(payout) => self.hear_payout(tx, caller, id, payout),
            About::Transfer(transfer) => self.hear_transfer(tx, caller, (client, id, row), transfer),
            About::Other => Ok(()),
        }
    }

    fn hear_intent(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        (client, id): (ClientId, GatewayId),
        intent: Intent,
        attempt: Option<(PaymentId, AttemptId)>,
    ) -> Result<()> {
        let found = match attempt {
            Some(named) => Some(named),
            None => attempt_of_reference(tx, client, id, &intent.id)?,
        };
        let Some((payment, attempt)) = found else { return Ok(()) };
        let Some((mut case, mut attempt)) = self.attempt_of(tx, (client, id), payment, attempt)? else {
            return Ok(());
        };
        let notices = match intent.notices(attempt.row.expected) {
            Ok(notices) => notices,
            Err(problem) => {
                tracing::warn!(gateway.id = %id, "An intent of {id} is not understood: {problem}");
                return Err(PaymentRefusal::WebhookRefused.into());
            }
        };
        for notice in notices {
            self.hear(tx, caller, &mut case, &mut attempt, notice)?;
        }
        self.finish(tx, caller, &mut case, Some(&mut attempt))
    }

    /// The attempt, when it is one through this gateway.
    fn attempt_of(
        &self,
        tx: &ReadTx,
        (client, gateway): (ClientId, GatewayId),
        payment: PaymentId,
        attempt: AttemptId,
    ) -> Result<Option<(Case, Try)>> {
        let row = tx.get(&ATTEMPTS, &(client, payment, attempt))?.filter(|it| it.gateway == gateway);
        let Some(row) = row else { return Ok(None) };
        Ok(Some((Case::load(tx, client, payment)?, Try { id: attempt, row })))
    }

    fn hear_refund(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        (client, id): (ClientId, GatewayId),
        refund: Refund,
    ) -> Result<()> {
        let Some(ours) = refund.refund_id.as_deref().and_then(|it| it.parse().ok()) else { return Ok(()) };
        let Some(row) = tx.get(&REFUNDS, &(client, ours))?.filter(|it| it.gateway == id) else {
            return Ok(());
        };
        let reference = refund.id;
        let outcome = match refund.status {
            _ if !refund.amount.is(row.amount) => RefundOutcome::Unknown {
                reason: format!("the gateway paid back {} {}", refund.amount.minor, refund.amount.code),
            },
            RefundStatus::Pending => RefundOutcome::Pending { reference },
            RefundStatus::Succeeded => RefundOutcome::Succeeded { reference },
            RefundStatus::Failed => {
                RefundOutcome::Failed { reason: refund.error.unwrap_or("the gateway could not".to_owned()) }
            }
        };
        self.take_refund_word(tx, caller, (client, ours), outcome).map(drop)
    }

    /// Whose payout it is hears of it: this module does not know its state. One that carries no id of ours is none of
    /// ours.
    fn hear_payout(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        gateway_id: GatewayId,
        payout: Payout,
    ) -> Result<()> {
        let ours = payout.withdrawal_id.filter(|it| parse("wdr", it).is_ok());
        let Some(reference) = ours else { return Ok(()) };
        let (outcome, unknown) = match payout.status {
            PayoutStatus::Paid => ("paid", None),
            PayoutStatus::Sent => ("sent", None),
            PayoutStatus::Failed => ("failed", None),
            PayoutStatus::Unknown(status) => ("unknown", Some(format!("the status {status} is unknown"))),
        };
        let event = PayoutReported {
            reference,
            gateway_id,
            gateway_reference: payout.id,
            outcome: outcome.to_owned(),
            amount_minor: payout.amount.minor.to_string(),
            currency: payout.amount.code,
            reason: payout.error.or(unknown),
        };
        tx.publish(caller, &event).map(drop)
    }

    fn hear_transfer(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        (client, id, row): (ClientId, GatewayId, &Gateway),
        transfer: AddressTransfer,
    ) -> Result<()> {
        let Some((payment, attempt)) = attempt_at(tx, client, id, &transfer.address)? else {
            tracing::warn!(gateway.id = %id, "{} was sent to an address of nobody", transfer.reference);
            return Ok(());
        };
        let Some((mut case, mut attempt)) = self.attempt_of(tx, (client, id), payment, attempt)? else {
            return Ok(());
        };
        let reference = transfer.reference;
        let notice = match transfer.amount.like(attempt.row.expected.currency()) {
            _ if transfer.is_dropped => Notice::Dropped { reference },
            Ok(amount) => {
                Transfer { reference, amount, confirmations: transfer.confirmations }.notice(&row.setup)
            }
            Err(_) => return Err(PaymentRefusal::WebhookRefused.into()),
        };
        self.hear(tx, caller, &mut case, &mut attempt, notice)?;
        self.finish(tx, caller, &mut case, Some(&mut attempt))
    }
}

/// Forgets old messages.
pub fn prune_job() -> Job {
    let oldest = |tx: &ReadTx| -> Result<Option<Time>> {
        let first = tx.scan_index(&SEEN, BY_TIME, Scan::all()).next().transpose()?;
        Ok(first.map(|(_, seen)| seen.at.after(KEPT)))
    };
    Job {
        name: "payment.webhooks_forgotten",
        due: Arc::new(oldest),
        run: Arc::new(|tx| {
            let end = Time::from_micros(tx.now().before(KEPT).micros() + 1).to_key();
            let old = tx.scan_index(&SEEN, BY_TIME, Scan::all().until(end)).take(PRUNED);
            let old: Vec<_> = old.map(|it| it.map(|(key, _)| key)).collect::<Result<_>>()?;
            for key in old {
                tx.delete(&SEEN, &key)?;
            }
            Ok(())
        }),
    }
}

const _: () = assert!(
    KEPT.as_secs() > 2 * super::signature::TOLERANCE.as_secs(),
    "a repeat is known while it verifies"
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::store::codec::golden;

    #[test]
    fn the_stored_form_stays_what_it_is() {
        golden("payment.webhooks_seen", &Seen { at: Time::from_micros(1_795_342_000_000_000) });
    }
}
