//! A gateway: what it takes, what it is reached with, and how it has been answering.

use std::time::Duration;

use crate::{
    kernel::{
        api::object::{Stamp, stamped},
        clock::Time,
        error::{Result, fault},
        money::{Amount, AmountText, Currency, CurrencyCode},
        store::codec::{Decode, Encode, row},
    },
    modules::payment::{
        before,
        contract::{GatewayKind, PaymentRefusal},
    },
};

/// A way in or out for money.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Gateway {
    pub name: String,
    /// One active gateway per slug.
    pub slug: String,
    pub kind: GatewayKind,
    pub is_active: bool,
    pub currencies: Vec<Currency>, // Invariant: not empty.
    pub limits: Limits,
    /// Which gateway is tried first when none is named: the smallest number.
    pub priority: u32,
    pub setup: Setup,
    /// Whether it has these credentials; they are in a table of their own.
    pub has_secret_key: bool,
    pub has_webhook_secret: bool,
    pub stamp: Stamp,
}
row!(Gateway, 2, { 1 => before::GatewayV1 });
stamped!(Gateway);

/// The smallest and the largest amount, as text: they hold in each of the gateway's currencies, in its own units.
#[derive(Debug, Clone, Default, PartialEq, Encode, Decode)]
pub struct Limits {
    pub min: Option<String>,
    pub max: Option<String>,
}

/// What an adapter needs to know of its gateway.
#[derive(Debug, Clone, Default, PartialEq, Encode, Decode)]
pub struct Setup {
    /// Manual: what the payer is told, with `{reference}`, `{amount}` and `{currency}`.
    pub instructions: Option<String>,
    /// Sandbox and HTTP: money is set aside first and taken with `capture`.
    pub manual_capture: bool,
    /// HTTP: where it is. Crypto: an explorer to ask.
    pub base_url: Option<String>,
    /// How long it may take to answer.
    pub timeout_s: Option<u32>,
    /// Crypto: what the payer is told the address is on.
    pub network: Option<String>,
    /// Crypto: the account whose addresses are derived; without it there is a pool.
    pub xpub: Option<String>,
    /// Crypto: how many confirmations an amount needs.
    pub confirmations: Vec<Band>,
}

/// Up to `up_to` (inclusive; without one: any amount) of this currency, so many confirmations.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Band {
    pub currency: CurrencyCode,
    pub up_to: Option<String>,
    pub confirmations: u32,
}

/// What a transfer needs of which no band says otherwise.
pub const CONFIRMATIONS: u32 = 3;

impl Setup {
    /// The confirmations this amount needs: those of the smallest band it fits into.
    pub fn confirmations_for(&self, amount: Amount) -> u32 {
        let fits = |band: &&Band| -> Option<Amount> {
            let text: AmountText = band.up_to.as_ref()?.parse().ok()?;
            text.not_negative("up_to", amount.currency()).ok()
        };
        let of_currency = self.confirmations.iter().filter(|it| it.currency == amount.currency().code);
        let mut bands: Vec<(i128, u32)> = of_currency
            .filter_map(|band| match (&band.up_to, fits(&band)) {
                (None, _) => Some((i128::MAX, band.confirmations)),
                (Some(_), Some(up_to)) if amount <= up_to => Some((up_to.minor(), band.confirmations)),
                (Some(_), _) => None,
            })
            .collect();
        bands.sort_unstable();
        bands.first().map_or(CONFIRMATIONS, |it| it.1)
    }
}

/// What a gateway is reached with, sealed with the installation's key.
#[derive(Debug, Clone, Default, PartialEq, Encode, Decode)]
pub struct Credentials {
    pub secret_key: Option<Vec<u8>>,
    pub webhook_secret: Option<Vec<u8>>,
}
row!(Credentials);

impl Gateway {
    /// Of a gateway to which nobody gave one.
    pub const PRIORITY: u32 = 100;

    /// Refuses `gateway_unavailable` with the first of `inactive`, `currency`, `min`, `max` that holds.
    pub fn check_takes(&self, amount: Amount) -> Result<()> {
        let unavailable =
            |reason: &str| Err(PaymentRefusal::GatewayUnavailable { reason: reason.to_owned() }.into());
        if !self.is_active {
            return unavailable("inactive");
        }
        if !self.currencies.contains(&amount.currency()) {
            return unavailable("currency");
        }
        if limit(&self.limits.min, amount.currency())?.is_some_and(|min| amount < min) {
            return unavailable("min");
        }
        if limit(&self.limits.max, amount.currency())?.is_some_and(|max| amount > max) {
            return unavailable("max");
        }
        Ok(())
    }
}

fn limit(text: &Option<String>, currency: Currency) -> Result<Option<Amount>> {
    let Some(text) = text else { return Ok(None) };
    // It was checked for each currency when it was stored.
    let text: AmountText = text.parse().map_err(|()| fault!("a stored limit reads {text}"))?;
    text.positive("amount", currency).map(Some)
}

/// How the last calls to a gateway went.
#[derive(Debug, Clone, Default, PartialEq, Encode, Decode)]
pub struct Health {
    /// All calls there ever were.
    pub calls: u64,
    /// One bit a call, the newest lowest: 1 when it was answered and not declined.
    pub recent: u64,
    pub last_success_at: Option<Time>,
    pub last_failure_at: Option<Time>,
    /// One bit a call, the newest lowest: 1 when the gateway itself was at fault. Begins anew when the breaker closes.
    pub faults: u64,
    /// How many calls in a row it was at fault.
    pub failures: u32,
    /// How often the breaker opened since it last answered.
    pub opened: u32,
    /// Until then nothing new goes through it. Stored, so that a restart does not send everybody into the same wall.
    pub open_until: Option<Time>,
}
row!(Health, 3, { 1 => before::HealthV1, 2 => before::HealthV2 });

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Succeeded,
    /// It answered, and declined: its payer's fault, or that of what was asked.
    Declined,
    /// The gateway's own fault, or that of what it is reached with: it did not answer, or not what can be understood, or
    /// takes nothing from us at all.
    Failed,
}

impl Health {
    /// How many calls the rate is taken over.
    pub const WINDOW: u64 = 64;

    /// After so many calls in a row that failed by the gateway's own fault the breaker opens: for a minute, then twice
    /// as long each time, at most an hour. When that is over one call is let through; an answer closes it.
    pub const TRIPS: u32 = 5;

    /// It opens as well when of the last 20 calls so many failed that way, with answers between them.
    pub const TRIPS_OF_TWENTY: u32 = 10;

    pub fn note(&mut self, verdict: Verdict, now: Time) {
        let succeeded = verdict == Verdict::Succeeded;
        self.calls += 1;
        self.recent = self.recent << 1 | u64::from(succeeded);
        let last = if succeeded { &mut self.last_success_at } else { &mut self.last_failure_at };
        *last = Some(now);
        self.faults = self.faults << 1 | u64::from(verdict == Verdict::Failed);
        if verdict != Verdict::Failed {
            if self.open_until.is_some() {
                self.faults = 0;
            }
            (self.failures, self.opened, self.open_until) = (0, 0, None);
            return;
        }
        self.failures += 1;
        if self.failures >= Health::TRIPS || self.faults_of_twenty() >= Health::TRIPS_OF_TWENTY {
            let minutes = 1u64 << self.opened.min(6);
            self.opened += 1;
            self.open_until = Some(now.after(Duration::from_secs(60 * minutes.min(60))));
        }
    }

    /// Whether something new may go through it.
    pub fn lets_through(&self, now: Time) -> bool {
        self.open_until.is_none_or(|it| it <= now)
    }

    /// Something new goes through it: of those that wait for an open breaker, one.
    pub fn begin(&mut self, now: Time) {
        if self.open_until.is_some() {
            self.open_until = Some(now.after(Duration::from_secs(60)));
        }
    }

    /// Of the last 20 calls, how many failed by the gateway's own fault.
    pub fn faults_of_twenty(&self) -> u32 {
        (self.faults & ((1 << 20) - 1)).count_ones()
    }

    /// Whether the last call did.
    pub fn failed_last(&self) -> bool {
        self.faults & 1 == 1
    }

    /// Of how many recent calls, how many succeeded.
    pub fn rate(&self) -> (u64, u64) {
        (self.calls.min(Health::WINDOW), u64::from(self.recent.count_ones()))
    }
}
