//! Gateways: made inactive, tried, and switched on; one active per slug.

use super::{Payments, gateway};
use crate::{
    kernel::{
        api::{
            call::{Call, Reach},
            endpoint::Claim,
            input::{Change, Flaw},
            object::{Stamp, check_external_id, save},
            principal::ClientId,
        },
        error::{Error, Result},
        money::{AmountText, Currency, CurrencyCode},
        store::{ReadTx, WriteTx},
    },
    modules::{
        client::contract::ClientMode,
        payment::{
            adapter::{DEFAULT_INSTRUCTIONS, check_template},
            contract::{GatewayId, GatewayKind, PaymentRefusal},
            model::{Gateway, Limits, Setup},
            repository::{GATEWAYS, GATEWAYS_BY_EXTERNAL_ID},
            routes::gateways::{ConfigIn, GatewayIn, GatewayOut, GatewayPatchIn},
        },
    },
};

impl Payments {
    /// Refuses `currency_inactive`, `external_id_taken`.
    pub fn add_gateway(&self, tx: &mut WriteTx, call: &Call<(), GatewayIn>) -> Result<GatewayOut> {
        let (client, input) = (call.caller.client()?, &call.input);
        check_slug(&input.slug)?;
        let currencies = self.currencies_of(tx, client, &input.currencies)?;
        let limits = Limits {
            min: input.min_amount.as_ref().map(|it| it.as_str().to_owned()),
            max: input.max_amount.as_ref().map(|it| it.as_str().to_owned()),
        };
        check_limits(&limits, &currencies)?;
        let setup = set_up(input.kind, Setup::default(), input.instructions.clone(), input.config.as_ref())?;
        check_external_id(tx, &GATEWAYS, GATEWAYS_BY_EXTERNAL_ID, client, input.external_id.as_ref())?;

        let row = Gateway {
            name: String::from(&input.name),
            slug: String::from(&input.slug),
            kind: input.kind,
            is_active: false,
            currencies,
            limits,
            setup,
            stamp: Stamp::new(tx, input.external_id.as_ref(), &input.metadata),
        };
        let id = tx.new_id();
        tx.insert(&GATEWAYS, &(client, id), &row)?;
        Ok(GatewayOut::of(id, &row, Reach::Any))
    }

    /// Changes what is given and leaves the rest. Refuses `currency_inactive`, `gateway_taken`.
    pub fn change_gateway(
        &self,
        tx: &mut WriteTx,
        call: &Call<GatewayId, GatewayPatchIn>,
    ) -> Result<GatewayOut> {
        let (client, input) = (call.caller.client()?, &call.input);
        let mut row = gateway(tx, client, call.path)?;
        call.caller.check_version(row.stamp.version)?;
        if let Some(name) = &input.name {
            row.name = String::from(name);
        }
        if let Some(slug) = &input.slug {
            check_slug(slug)?;
            row.slug = String::from(slug);
        }
        if let Some(codes) = &input.currencies {
            row.currencies = self.currencies_of(tx, client, codes)?;
        }
        change_limit(&mut row.limits.min, &input.min_amount);
        change_limit(&mut row.limits.max, &input.max_amount);
        check_limits(&row.limits, &row.currencies)?;
        let instructions = match &input.instructions {
            Change::Keep => row.setup.instructions.clone(),
            Change::Clear => None,
            Change::Set(text) => Some(text.clone()),
        };
        row.setup = set_up(row.kind, row.setup, instructions, input.config.as_ref())?;
        let other = active_with_slug(tx, client, &row.slug)?;
        if row.is_active && other.is_some_and(|(id, _)| id != call.path) {
            return Err(PaymentRefusal::GatewayTaken { slug: row.slug }.into());
        }

        row.stamp.metadata.merge(input.metadata.clone());
        save(tx, &GATEWAYS, &(client, call.path), &mut row)?;
        Ok(GatewayOut::of(call.path, &row, Reach::Any))
    }

    /// Switches it on, and the active gateway of the same slug off, in one step. Refuses `sandbox_in_live`.
    pub fn activate_gateway(&self, tx: &mut WriteTx, call: &Call<GatewayId>) -> Result<GatewayOut> {
        let client = call.caller.client()?;
        let mut row = gateway(tx, client, call.path)?;
        if row.kind == GatewayKind::Sandbox && self.clients.get(tx, client)?.mode == ClientMode::Live {
            return Err(PaymentRefusal::SandboxInLive.into());
        }
        if row.is_active {
            return Ok(GatewayOut::of(call.path, &row, Reach::Any));
        }

        if let Some((id, mut other)) = active_with_slug(tx, client, &row.slug)? {
            other.is_active = false;
            save(tx, &GATEWAYS, &(client, id), &mut other)?;
        }
        row.is_active = true;
        save(tx, &GATEWAYS, &(client, call.path), &mut row)?;
        Ok(GatewayOut::of(call.path, &row, Reach::Any))
    }

    /// Nothing new goes through it; what is under way ends through it.
    pub fn deactivate_gateway(&self, tx: &mut WriteTx, call: &Call<GatewayId>) -> Result<GatewayOut> {
        let client = call.caller.client()?;
        let mut row = gateway(tx, client, call.path)?;
        if row.is_active {
            row.is_active = false;
            save(tx, &GATEWAYS, &(client, call.path), &mut row)?;
        }
        Ok(GatewayOut::of(call.path, &row, Reach::Any))
    }

    /// What its adapter needs to find out whether it answers.
    pub fn claim_test<O>(
        &self,
        tx: &WriteTx,
        call: &Call<GatewayId>,
    ) -> Result<Claim<(GatewayKind, Setup), O>> {
        let row = gateway(tx, call.caller.client()?, call.path)?;
        Ok(Claim::Call((row.kind, row.setup)))
    }

    /// Asks the adapter. No transaction is open.
    pub fn test(
        &self,
        (kind, setup): (GatewayKind, Setup),
    ) -> impl Future<Output = Result<String, String>> + Send + use<> {
        self.adapters.of(kind).check(setup)
    }

    fn currencies_of(&self, tx: &ReadTx, client: ClientId, codes: &[CurrencyCode]) -> Result<Vec<Currency>> {
        let mut currencies: Vec<Currency> = vec![];
        for code in codes {
            let currency = self.currencies.active(tx, client, *code)?;
            if currencies.contains(&currency) {
                return Err(Flaw::new("currencies", "not_allowed", format!("{code} is given twice")).into());
            }
            currencies.push(currency);
        }
        if currencies.is_empty() {
            return Err(Flaw::new("currencies", "required", "names at least one currency").into());
        }
        Ok(currencies)
    }
}

/// The active gateway that has this slug.
fn active_with_slug(tx: &ReadTx, client: ClientId, slug: &str) -> Result<Option<(GatewayId, Gateway)>> {
    let found = tx.find(&GATEWAYS, "payment.gateways_by_active_slug", &(client, slug.to_owned()))?;
    Ok(found.map(|((_, id), row)| (id, row)))
}

fn check_slug(slug: &str) -> Result<()> {
    let well_formed = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-' || it == b'_';
    if slug.bytes().all(well_formed) {
        return Ok(());
    }
    Err(Flaw::new("slug", "invalid_format", "has only a-z, 0-9, - and _").into())
}

/// Each limit is an amount of each of the currencies, and the smallest is not above the largest.
fn check_limits(limits: &Limits, currencies: &[Currency]) -> Result<()> {
    let read = |param: &str, text: &Option<String>, currency: Currency| -> Result<_> {
        let Some(text) = text else { return Ok(None) };
        let malformed = || Error::from(Flaw::new(param, "amount_format", "must be an amount"));
        let text: AmountText = text.parse().map_err(|()| malformed())?;
        text.positive(param, currency).map(Some)
    };
    for currency in currencies {
        let min = read("min_amount", &limits.min, *currency)?;
        let max = read("max_amount", &limits.max, *currency)?;
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            let message = format!("{max} is below the smallest amount, {min}");
            return Err(Flaw::new("max_amount", "out_of_range", message).into());
        }
    }
    Ok(())
}

fn change_limit(limit: &mut Option<String>, change: &Change<AmountText>) {
    match change {
        Change::Keep => {}
        Change::Clear => *limit = None,
        Change::Set(text) => *limit = Some(text.as_str().to_owned()),
    }
}

/// What a kind takes: instructions and configuration of another kind are refused.
fn set_up(
    kind: GatewayKind,
    mut setup: Setup,
    instructions: Option<String>,
    config: Option<&ConfigIn>,
) -> Result<Setup> {
    let not_allowed = |param: &str| {
        Err(Flaw::new(param, "not_allowed", format!("a {kind} gateway has nothing like it")).into())
    };
    let manual_capture = config.and_then(|it| it.manual_capture);
    match kind {
        GatewayKind::Manual if manual_capture.is_some() => return not_allowed("config.manual_capture"),
        GatewayKind::Manual => {
            let text = instructions.unwrap_or_else(|| DEFAULT_INSTRUCTIONS.to_owned());
            check_template(&text).map_err(|problem| Flaw::new("instructions", "invalid_format", problem))?;
            setup.instructions = Some(text);
        }
        GatewayKind::Sandbox if instructions.is_some() => return not_allowed("instructions"),
        GatewayKind::Sandbox => setup.manual_capture = manual_capture.unwrap_or(setup.manual_capture),
    }
    Ok(setup)
}
