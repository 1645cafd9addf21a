//! Gateways: made inactive, tried, and switched on; one active per slug.

use super::{Payments, gateway, initiate::note_health};
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
        net::Forbidden,
        store::{ReadTx, WriteTx},
    },
    modules::{
        client::contract::ClientMode,
        payment::{
            adapter::{Access, DEFAULT_INSTRUCTIONS, check_template},
            contract::{GatewayId, GatewayKind, PaymentRefusal},
            crypto::{check_xpub, has_one},
            model::{Band, Gateway, Limits, Setup, Verdict},
            repository::{GATEWAYS, GATEWAYS_BY_EXTERNAL_ID},
            routes::gateways::{BandIn, ConfigIn, CredentialsIn, GatewayIn, GatewayOut, GatewayPatchIn},
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
        let setup = self.set_up(
            (input.kind, &currencies),
            Setup::default(),
            input.instructions.clone(),
            input.config.as_ref(),
        )?;
        check_credentials(input.kind, input.credentials.as_ref())?;
        check_external_id(tx, &GATEWAYS, GATEWAYS_BY_EXTERNAL_ID, client, input.external_id.as_ref())?;

        let mut row = Gateway {
            name: String::from(&input.name),
            slug: String::from(&input.slug),
            kind: input.kind,
            is_active: false,
            currencies,
            limits,
            priority: input.priority.unwrap_or(Gateway::PRIORITY),
            setup,
            has_secret_key: false,
            has_webhook_secret: false,
            stamp: Stamp::new(tx, input.external_id.as_ref(), &input.metadata),
        };
        let id = tx.new_id();
        self.keep_credentials(tx, (client, id), &mut row, input.credentials.as_ref())?;
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
        row.setup =
            self.set_up((row.kind, &row.currencies), row.setup, instructions, input.config.as_ref())?;
        check_credentials(row.kind, input.credentials.as_ref())?;
        row.priority = input.priority.unwrap_or(row.priority);
        let other = active_with_slug(tx, client, &row.slug)?;
        if row.is_active && other.is_some_and(|(id, _)| id != call.path) {
            return Err(PaymentRefusal::GatewayTaken { slug: row.slug }.into());
        }

        row.stamp.metadata.merge(input.metadata.clone());
        self.keep_credentials(tx, (client, call.path), &mut row, input.credentials.as_ref())?;
        save(tx, &GATEWAYS, &(client, call.path), &mut row)?;
        Ok(GatewayOut::of(call.path, &row, Reach::Any))
    }

    /// Switches it on, and the active gateway of the same slug off, in one step. Refuses `sandbox_in_live`,
    /// `gateway_incomplete`.
    pub fn activate_gateway(&self, tx: &mut WriteTx, call: &Call<GatewayId>) -> Result<GatewayOut> {
        let client = call.caller.client()?;
        let mut row = gateway(tx, client, call.path)?;
        if row.kind == GatewayKind::Sandbox && self.clients.get(tx, client)?.mode == ClientMode::Live {
            return Err(PaymentRefusal::SandboxInLive.into());
        }
        if row.is_active {
            return Ok(GatewayOut::of(call.path, &row, Reach::Any));
        }
        check_complete(tx, client, call.path, &row)?;

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
    ) -> Result<Claim<(GatewayKind, Setup, Access), O>> {
        let client = call.caller.client()?;
        let row = gateway(tx, client, call.path)?;
        Ok(Claim::Call((row.kind, row.setup, self.access(tx, client, call.path)?)))
    }

    /// Asks the adapter. No transaction is open.
    pub fn test(
        &self,
        (kind, setup, access): (GatewayKind, Setup, Access),
    ) -> impl Future<Output = Result<String, String>> + Send + use<> {
        self.adapters.of(kind).check(setup, access)
    }

    /// Stores what the test found: an answer closes the breaker, silence counts as one.
    pub fn note_test(&self, tx: &mut WriteTx, call: &Call<GatewayId>, answered: bool) -> Result<()> {
        let verdict = if answered { Verdict::Succeeded } else { Verdict::Failed };
        note_health(tx, (call.caller.client()?, call.path), verdict)
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

/// Only a gateway over HTTP has a key to be reached with; a person who says that money came signs nothing.
fn check_credentials(kind: GatewayKind, given: Option<&CredentialsIn>) -> Result<()> {
    let Some(given) = given else { return Ok(()) };
    let not_allowed = |param: &str| {
        Err(Flaw::new(param, "not_allowed", format!("a {kind} gateway has nothing like it")).into())
    };
    if given.secret_key.is_some() && kind != GatewayKind::Http {
        return not_allowed("credentials.secret_key");
    }
    if given.webhook_secret.is_some() && kind == GatewayKind::Manual {
        return not_allowed("credentials.webhook_secret");
    }
    Ok(())
}

/// Refuses `gateway_incomplete`.
fn check_complete(tx: &ReadTx, client: ClientId, id: GatewayId, row: &Gateway) -> Result<()> {
    let missing = match row.kind {
        GatewayKind::Manual | GatewayKind::Sandbox => None,
        GatewayKind::Http if row.setup.base_url.is_none() => Some("base_url"),
        GatewayKind::Http if !row.has_secret_key => Some("secret_key"),
        GatewayKind::Http => None,
        GatewayKind::Crypto if !has_one(tx, client, id, row)? => Some("xpub, and no free address"),
        GatewayKind::Crypto if row.setup.base_url.is_none() && !row.has_webhook_secret => {
            Some("base_url of an explorer, and no webhook_secret of a watcher")
        }
        GatewayKind::Crypto => None,
    };
    match missing {
        None => Ok(()),
        Some(missing) => Err(PaymentRefusal::GatewayIncomplete { missing: missing.to_owned() }.into()),
    }
}

impl Payments {
    /// What a kind takes: instructions and configuration of another kind are refused.
    fn set_up(
        &self,
        (kind, currencies): (GatewayKind, &[Currency]),
        mut setup: Setup,
        instructions: Option<String>,
        config: Option<&ConfigIn>,
    ) -> Result<Setup> {
        let not_allowed = |param: &str| -> Result<Setup> {
            Err(Flaw::new(param, "not_allowed", format!("a {kind} gateway has nothing like it")).into())
        };
        if kind == GatewayKind::Manual {
            let text = instructions.unwrap_or_else(|| DEFAULT_INSTRUCTIONS.to_owned());
            check_template(&text).map_err(|problem| Flaw::new("instructions", "invalid_format", problem))?;
            setup.instructions = Some(text);
        } else if instructions.is_some() {
            return not_allowed("instructions");
        }
        let Some(config) = config else { return Ok(setup) };
        let (remote, crypto) =
            (matches!(kind, GatewayKind::Http | GatewayKind::Crypto), kind == GatewayKind::Crypto);
        let captures = matches!(kind, GatewayKind::Sandbox | GatewayKind::Http);
        for (given, param, allowed) in [
            (config.manual_capture.is_some(), "config.manual_capture", captures),
            (config.base_url.is_some(), "config.base_url", remote),
            (config.timeout_s.is_some(), "config.timeout_s", remote),
            (config.network.is_some(), "config.network", crypto),
            (config.xpub.is_some(), "config.xpub", crypto),
            (config.confirmations.is_some(), "config.confirmations", crypto),
        ] {
            if given && !allowed {
                return not_allowed(param);
            }
        }
        setup.manual_capture = config.manual_capture.unwrap_or(setup.manual_capture);
        if let Some(url) = &config.base_url {
            let wrong = |it: Forbidden| Flaw::new("config.base_url", "invalid_format", it.to_string());
            setup.base_url = Some(self.net.vet(url).map_err(wrong)?.to_string());
        }
        if let Some(seconds) = config.timeout_s {
            if !(1..=60).contains(&seconds) {
                return Err(Flaw::new("config.timeout_s", "out_of_range", "must be from 1 to 60").into());
            }
            setup.timeout_s = Some(seconds);
        }
        setup.network = config.network.as_ref().map(String::from).or(setup.network);
        if let Some(xpub) = &config.xpub {
            let wrong = |it: String| Flaw::new("config.xpub", "invalid_format", it);
            check_xpub(xpub).map_err(wrong)?;
            if currencies.iter().any(|it| it.code.as_str() != "BTC") {
                let message = "addresses are derived for BTC alone; fill a pool for other currencies";
                return Err(Flaw::new("config.xpub", "not_allowed", message).into());
            }
            setup.xpub = Some(String::from(xpub));
        }
        if let Some(bands) = &config.confirmations {
            setup.confirmations = read_bands(bands, currencies)?;
        }
        Ok(setup)
    }
}

fn read_bands(bands: &[BandIn], currencies: &[Currency]) -> Result<Vec<Band>> {
    let mut read = vec![];
    for (place, band) in bands.iter().enumerate() {
        let param = |name: &str| format!("config.confirmations[{place}].{name}");
        let Some(currency) = currencies.iter().find(|it| it.code == band.currency) else {
            return Err(Flaw::new(&param("currency"), "not_allowed", "is none of the gateway's").into());
        };
        if !(1..=1000).contains(&band.confirmations) {
            return Err(Flaw::new(&param("confirmations"), "out_of_range", "must be from 1 to 1000").into());
        }
        if let Some(up_to) = &band.up_to {
            up_to.positive(&param("up_to"), *currency)?;
        }
        let up_to = band.up_to.as_ref().map(|it| it.as_str().to_owned());
        read.push(Band { currency: band.currency, up_to, confirmations: band.confirmations });
    }
    Ok(read)
}
