//! The rules of payments: states, rows, and what follows from a row alone. No transaction in here.
//!
//! ```text
//!                    ┌───────────── decline ─────────────┐
//!                    ▼                                   │
//! create ──▶ requires_method ── initiate ──▶ processing ─┤ await_payer ──▶ requires_action
//!                    │                        ▲   ▲  │   │ authorize ────▶ requires_capture
//!                    │                        │   │  │   └ settle ───────▶ settled
//!                    └──────── detect ────────┘   └──┴──── detect, capture ────┘
//! ```
//!
//! Money or a word of it that a person must look at makes a payment `processing`: from there it neither expires nor can
//! be canceled. `review` says what the person is to do, `paid_state` how what came compares with what was asked.

mod gateway;

use std::time::Duration;

pub use gateway::{Band, CONFIRMATIONS, Credentials, Gateway, Health, Limits, Setup, Verdict};

use super::before;
use super::contract::{
    AttemptId, GatewayId, GatewayKind, PaidState, PaymentId, PaymentRefusal, PaymentStatus, Review,
};
use crate::{
    kernel::{
        api::{
            input::{Named as _, text_enum},
            object::{Stamp, Times, stamped, timed},
            principal::{Actor, UserId},
        },
        clock::Time,
        error::Result,
        machine::{History, Machine},
        money::{Amount, CurrencyCode},
        store::codec::{Decode, Encode, row},
    },
    modules::{
        balance::contract::EntryId,
        client::contract::{Approval, revision_of},
    },
};

text_enum! {
    pub enum PaymentEvent {
        Initiate = "initiate",
        AwaitPayer = "await_payer",
        /// Money was seen, or is said to have come, and a person or the gateway has to confirm it.
        Detect = "detect",
        Authorize = "authorize",
        Capture = "capture",
        Settle = "settle",
        Decline = "decline",
        Fail = "fail",
        Cancel = "cancel",
        Expire = "expire",
    }
}

use PaymentEvent as On;
use PaymentStatus as Is;

pub const PAYMENT: Machine<PaymentStatus, PaymentEvent> = Machine {
    name: "payment",
    initial: &[Is::RequiresMethod],
    moves: &[
        (Is::RequiresMethod, On::Initiate, Is::Processing),
        (Is::RequiresMethod, On::Detect, Is::Processing),
        // The attempt was given up, and its money came all the same.
        (Is::RequiresMethod, On::Settle, Is::Settled),
        (Is::RequiresMethod, On::Fail, Is::Failed),
        (Is::RequiresMethod, On::Cancel, Is::Canceled),
        (Is::RequiresMethod, On::Expire, Is::Expired),
        (Is::RequiresAction, On::Detect, Is::Processing),
        (Is::RequiresAction, On::Authorize, Is::RequiresCapture),
        (Is::RequiresAction, On::Settle, Is::Settled),
        (Is::RequiresAction, On::Decline, Is::RequiresMethod),
        (Is::RequiresAction, On::Fail, Is::Failed),
        (Is::RequiresAction, On::Cancel, Is::Canceled),
        (Is::RequiresAction, On::Expire, Is::Expired),
        (Is::Processing, On::AwaitPayer, Is::RequiresAction),
        (Is::Processing, On::Authorize, Is::RequiresCapture),
        (Is::Processing, On::Settle, Is::Settled),
        (Is::Processing, On::Decline, Is::RequiresMethod),
        (Is::Processing, On::Fail, Is::Failed),
        (Is::RequiresCapture, On::Capture, Is::Processing),
        (Is::RequiresCapture, On::Detect, Is::Processing),
        (Is::RequiresCapture, On::Settle, Is::Settled),
        (Is::RequiresCapture, On::Fail, Is::Failed),
        (Is::RequiresCapture, On::Cancel, Is::Canceled),
        (Is::RequiresCapture, On::Expire, Is::Expired),
    ],
};

text_enum! {
    pub enum AttemptStatus {
        /// The gateway is being told.
        Calling = "calling",
        /// The gateway, or the payer, has the next word.
        Open = "open",
        /// Nobody can say what became of it; the gateway is asked until it can.
        Unknown = "unknown",
        Settled = "settled",
        Failed = "failed",
        Canceled = "canceled",
        Expired = "expired",
    }
}

text_enum! {
    pub enum AttemptEvent {
        Open = "open",
        Lose = "lose",
        Settle = "settle",
        Fail = "fail",
        Cancel = "cancel",
        Expire = "expire",
    }
}

use AttemptEvent as Try;
use AttemptStatus as At;

pub const ATTEMPT: Machine<AttemptStatus, AttemptEvent> = Machine {
    name: "attempt",
    initial: &[At::Calling],
    moves: &[
        (At::Calling, Try::Open, At::Open),
        (At::Calling, Try::Lose, At::Unknown),
        (At::Calling, Try::Settle, At::Settled),
        (At::Calling, Try::Fail, At::Failed),
        (At::Calling, Try::Cancel, At::Canceled),
        (At::Open, Try::Lose, At::Unknown),
        (At::Open, Try::Settle, At::Settled),
        (At::Open, Try::Fail, At::Failed),
        (At::Open, Try::Cancel, At::Canceled),
        (At::Open, Try::Expire, At::Expired),
        (At::Unknown, Try::Open, At::Open),
        (At::Unknown, Try::Settle, At::Settled),
        (At::Unknown, Try::Fail, At::Failed),
        (At::Unknown, Try::Cancel, At::Canceled),
        // A failed attempt whose money came, or is said to have come.
        (At::Failed, Try::Open, At::Open),
        (At::Failed, Try::Settle, At::Settled),
    ],
};

/// After so many questions that told nothing a gateway is asked no more: a week of daily ones. A person finds out.
pub const MOST_QUESTIONS: u32 = 11;

/// After so many failed attempts a payment has failed.
pub const MOST_ATTEMPTS: u32 = 10;

/// How long a payment may stay open, in seconds: a minute to 90 days.
pub const LIFETIME_S: std::ops::RangeInclusive<u64> = 60..=90 * 24 * 3600;

/// Money on its way in.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Payment {
    /// Whose available money a plain charge becomes.
    pub user: Option<UserId>,
    /// The id of what is paid for. `None` for a plain charge.
    pub payable: Option<String>,
    /// What has to come.
    pub amount: Amount,
    /// What came and is credited, or waits for the rest. Invariant: the sum of its settlements outside suspense.
    pub received: Amount,
    pub paid_state: PaidState,
    /// What went back, or is about to. Invariant: the sum of its refunds that are neither failed nor canceled.
    pub refunded: Amount,
    /// What its payer's bank took back. Invariant: the sum of its disputes that are open or lost, and together with
    /// `refunded` at most `received`.
    pub disputed: Amount,
    /// What it paid for was taken back as a whole: nothing is left to refund.
    pub is_reversed: bool,
    pub review: Review,
    /// Invariant: there while `review` is conflicted or awaiting_second, and only then.
    pub said: Option<Said>,
    /// The gateway named at creation, later that of the last attempt.
    pub gateway: Option<GatewayId>,
    pub attempt: Option<AttemptId>,
    pub attempts: u32,
    pub last_error: Option<String>,
    pub expires_at: Time,
    /// How often the gateway was asked what became of the attempt.
    pub asked: u32,
    /// While the payer is awaited: when the gateway is asked whether it paid. `None` when the gateway tells by itself.
    pub poll_at: Option<Time>,
    /// When the timer has to look: expiry, or the next question to the gateway.
    pub due_at: Option<Time>,
    pub history: History<PaymentStatus>,
    pub stamp: Stamp,
}
row!(Payment, 3, { 1 => before::PaymentV1, 2 => before::PaymentV2 });
stamped!(Payment);

/// What a payment pays for is credited in another currency: it is taken back with that, never refunded by itself.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Converted {
    pub currency: CurrencyCode,
}
row!(Converted);

/// Money that somebody says came, while a person has to decide about it.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Said {
    /// The gateway's reference.
    pub reference: String,
    pub amount: Amount,
    pub by: Actor,
    pub reason: Option<String>,
    pub proof: Option<String>,
    pub at: Time,
    /// What others think of it, where they have to agree.
    pub approval: Option<Approval>,
}

impl Payment {
    pub fn status(&self) -> PaymentStatus {
        self.history.status()
    }

    /// What a decision about it names, as it is to be shown under the rules of now.
    pub fn revision(&self) -> u32 {
        let approval = self.said.as_ref().and_then(|it| it.approval.as_ref());
        approval.map_or(revision_of(self.stamp.version), |it| it.revision)
    }

    /// Nothing leads on from here: nothing came of it, or everything did.
    pub fn is_over(&self) -> bool {
        PAYMENT.is_final(self.status())
    }

    /// Whether its time ends by itself in this state.
    fn expires(&self) -> bool {
        matches!(self.status(), Is::RequiresMethod | Is::RequiresAction | Is::RequiresCapture)
    }

    /// Judged by the stored instant, whether or not the timer ran: at the instant itself it is over.
    pub fn is_due_to_expire(&self, now: Time) -> bool {
        self.expires() && now >= self.expires_at
    }

    /// It ended, and not because everything came: money for it goes to suspense.
    pub fn ended_without(&self) -> bool {
        matches!(self.status(), Is::Failed | Is::Canceled | Is::Expired)
    }

    /// Refuses `payment_expired` for what has expired, also when the timer did not run yet.
    pub fn check_not_expired(&self, now: Time) -> Result<()> {
        if self.status() == Is::Expired || self.is_due_to_expire(now) {
            return Err(PaymentRefusal::PaymentExpired.into());
        }
        Ok(())
    }

    /// What can still be refunded.
    pub fn refundable(&self) -> Result<Amount> {
        let gone = self.refunded.plus(self.disputed)?;
        if self.is_reversed || gone >= self.received {
            return Ok(Amount::zero(self.received.currency()));
        }
        self.received.minus(gone)
    }

    /// The gateway is asked `after` from now; the timer looks then.
    pub fn ask_after(&mut self, now: Time, after: Duration) {
        self.due_at = Some(now.after(after));
    }

    /// The gateway is asked again, later each time; after enough questions a person finds out.
    pub fn ask_later(&mut self, now: Time) {
        self.due_at = (self.asked < MOST_QUESTIONS).then(|| now.after(patience(self.asked)));
        if self.due_at.is_none() && self.review == Review::None {
            self.review = Review::Needed;
        }
    }

    /// Whether the gateway is asked now whether the payer has paid.
    pub fn is_polled(&self, now: Time) -> bool {
        self.status() == Is::RequiresAction && self.poll_at.is_some_and(|it| it <= now)
    }

    /// Called with every change of state: the timer looks at the expiry, or, while something is processed, at the
    /// question it was told to ask. While a person has to decide it does not look at all.
    pub fn plan(&mut self) {
        let decided_by_a_person = self.said.is_some();
        match self.status() {
            Is::RequiresAction => {
                let poll_at = self.poll_at.unwrap_or(self.expires_at);
                self.due_at = Some(poll_at.min(self.expires_at));
            }
            _ if self.expires() => self.due_at = Some(self.expires_at),
            Is::Processing if !decided_by_a_person => {}
            _ => self.due_at = None,
        }
    }
}

/// When a gateway is asked again after `asked` questions: 1 m, 5 m, 1 h, 6 h, then daily.
pub fn patience(asked: u32) -> Duration {
    const MINUTE: u64 = 60;
    const LADDER: [u64; 5] = [MINUTE, 5 * MINUTE, 60 * MINUTE, 360 * MINUTE, 1440 * MINUTE];
    Duration::from_secs(LADDER[(asked as usize).min(LADDER.len() - 1)])
}

/// How what came compares with what was asked. Both of one currency.
pub fn compare(received: Amount, asked: Amount) -> PaidState {
    match received.minor().cmp(&asked.minor()) {
        _ if received.is_zero() => PaidState::None,
        std::cmp::Ordering::Less => PaidState::Partial,
        std::cmp::Ordering::Equal => PaidState::Exact,
        std::cmp::Ordering::Greater => PaidState::Over,
    }
}

/// One try at a payment, through one gateway.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    pub gateway: GatewayId,
    pub kind: GatewayKind,
    /// What the gateway was told.
    pub expected: Amount,
    pub instructions: Option<String>,
    pub url: Option<String>,
    /// The address that is this attempt's alone.
    pub address: Option<String>,
    /// The gateway's own.
    pub reference: Option<String>,
    /// Transfers that were seen and are not confirmed yet.
    pub seen: Vec<String>,
    pub error: Option<String>,
    /// Money was set aside by the gateway and its capture was asked for.
    pub is_capturing: bool,
    pub expires_at: Time,
    pub history: History<AttemptStatus>,
    pub times: Times,
}
row!(Attempt, 2, { 1 => before::AttemptV1 });
timed!(Attempt);

impl Attempt {
    pub fn status(&self) -> AttemptStatus {
        self.history.status()
    }

    pub fn is_open(&self) -> bool {
        matches!(self.status(), At::Calling | At::Open | At::Unknown)
    }
}

text_enum! {
    /// What a person decides about a payment.
    pub enum Decision {
        /// It came, and counts.
        Credit = "credit",
        /// It came, and is to go back: it waits in suspense, from where `suspense/{id}/refund` sends it.
        Refund = "refund",
        /// It did not come.
        Reject = "reject",
    }
}

text_enum! {
    /// Where money that came is now.
    pub enum Place {
        /// With its payment, which waits for the rest.
        Waiting = "waiting",
        Credited = "credited",
        Suspense = "suspense",
        /// In suspense, and on its way back to whoever sent it.
        Refunding = "refunding",
        /// Went back.
        Refunded = "refunded",
        /// Was in suspense, and became a user's.
        Assigned = "assigned",
        /// Was in suspense, and its payer's bank took it back.
        ChargedBack = "charged_back",
    }
}

/// Whose money in suspense is to become, as the first of two people says.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Claimant {
    pub whose: Whose,
    pub by: Actor,
    pub reason: String,
    pub at: Time,
    /// What others think of it.
    pub approval: Approval,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Whose {
    Payment(PaymentId),
    User(UserId),
}

/// Money that came, once: its credit key is (client, gateway, reference).
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Settlement {
    pub payment: PaymentId,
    pub attempt: AttemptId,
    pub gateway: GatewayId,
    pub reference: String,
    pub amount: Amount,
    pub place: Place,
    /// The entry that took it out of clearing. What was paid for something else (a funding) is booked there.
    pub entry: Option<EntryId>,
    /// In suspense: a second person has to agree to this.
    pub claimant: Option<Claimant>,
    /// The entry that moved it on from suspense. Invariant: there once assigned to a user.
    pub moved_by: Option<EntryId>,
    pub times: Times,
}
row!(Settlement, 3, { 1 => before::SettlementV1, 2 => before::SettlementV2 });

impl Settlement {
    /// As a person sees it: where it is, or that a second person has to agree.
    pub fn shown_status(&self) -> &'static str {
        if self.place == Place::Suspense && self.claimant.is_some() {
            "awaiting_second"
        } else {
            self.place.name()
        }
    }
}
timed!(Settlement);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{api::call::Caller, id::Id as _, money::Currency, store::codec::golden};

    fn usd(minor: i128) -> Amount {
        amount(minor, "USD", 2)
    }

    fn amount(minor: i128, code: &str, decimals: u8) -> Amount {
        Amount::new(minor, Currency { code: code.parse().unwrap(), decimals }).unwrap()
    }

    #[test]
    fn the_stored_forms_stay_what_they_are() {
        let at = Time::from_micros(1_795_342_000_000_000);
        let caller = Caller::system(None);
        let gateway = GatewayId::from_bytes([4; 16]);
        let (payment, attempt) = (PaymentId::from_bytes([2; 16]), AttemptId::from_bytes([3; 16]));
        let said = Said {
            reference: "bank-1".into(),
            amount: usd(900),
            by: Actor::User(UserId::from_bytes([1; 16])),
            reason: Some("seen".into()),
            proof: None,
            at,
            approval: Some(Approval::of_before(usd(900))),
        };
        golden(
            "payment.payments",
            &Payment {
                user: Some(UserId::from_bytes([1; 16])),
                payable: Some("fnd_1".into()),
                amount: usd(1000),
                received: usd(0),
                paid_state: PaidState::Partial,
                refunded: usd(0),
                disputed: usd(0),
                is_reversed: false,
                review: Review::Conflicted,
                said: Some(said),
                gateway: Some(gateway),
                attempt: Some(attempt),
                attempts: 1,
                last_error: None,
                expires_at: at,
                asked: 2,
                poll_at: None,
                due_at: Some(at),
                history: History::begin(Is::RequiresMethod, &caller, at),
                stamp: Stamp { external_id: Some("order-1".into()), ..Stamp::at(at) },
            },
        );
        golden(
            "payment.attempts",
            &Attempt {
                number: 1,
                gateway,
                kind: GatewayKind::Sandbox,
                expected: usd(1000),
                instructions: None,
                url: Some("https://example.com".into()),
                address: None,
                reference: Some("sandbox-1".into()),
                seen: vec!["ab:0".into()],
                error: None,
                is_capturing: true,
                expires_at: at,
                history: History::begin(At::Calling, &caller, at),
                times: Times::at(at),
            },
        );
        golden(
            "payment.settlements",
            &Settlement {
                payment,
                attempt,
                gateway,
                reference: "bank-1".into(),
                amount: usd(1000),
                place: Place::Suspense,
                entry: Some(EntryId::from_bytes([5; 16])),
                claimant: Some(Claimant {
                    whose: Whose::User(UserId::from_bytes([1; 16])),
                    by: Actor::User(UserId::from_bytes([6; 16])),
                    reason: "hers".into(),
                    at,
                    approval: Approval::of_before(usd(1000)),
                }),
                moved_by: None,
                times: Times::at(at),
            },
        );
        golden("payment.converted", &Converted { currency: usd(0).currency().code });
        golden("payment.gateways", &bank(true, vec![usd(0).currency()], "10.00", "500"));
        let health = Health { calls: 70, recent: 5, last_success_at: Some(at), ..Health::default() };
        golden(
            "payment.gateway_credentials",
            &Credentials { secret_key: Some(vec![1, 2]), webhook_secret: None },
        );
        golden("payment.gateway_health", &health);
    }

    fn bank(is_active: bool, currencies: Vec<Currency>, min: &str, max: &str) -> Gateway {
        Gateway {
            name: "Bank".into(),
            slug: "bank".into(),
            kind: GatewayKind::Manual,
            is_active,
            currencies,
            limits: Limits { min: Some(min.into()), max: Some(max.into()) },
            priority: 100,
            setup: Setup::default(),
            has_secret_key: false,
            has_webhook_secret: true,
            stamp: Stamp::at(Time::ZERO),
        }
    }

    #[test]
    fn the_tables_are_sound() {
        assert_eq!(PAYMENT.flaws(), Vec::<String>::new());
        assert_eq!(ATTEMPT.flaws(), Vec::<String>::new());
    }

    #[test]
    fn nothing_leads_on_from_the_end_of_a_payment() {
        for end in [Is::Settled, Is::Failed, Is::Canceled, Is::Expired] {
            assert!(PAYMENT.is_final(end), "{end}");
        }
    }

    #[test]
    fn a_gateway_is_asked_after_a_minute_five_an_hour_six_and_then_daily() {
        let minutes: Vec<u64> = (0..7).map(|asked| patience(asked).as_secs() / 60).collect();
        assert_eq!(minutes, [1, 5, 60, 360, 1440, 1440, 1440]);
    }

    #[test]
    fn a_gateway_says_first_that_it_is_inactive_then_currency_then_min_then_max() {
        let usd_currency = usd(0).currency();
        let eur = amount(0, "EUR", 2).currency();
        for (gateway, wanted) in [
            (bank(false, vec![eur], "20", "5"), Some("inactive")),
            (bank(true, vec![eur], "20", "5"), Some("currency")),
            (bank(true, vec![usd_currency], "20", "5"), Some("min")),
            (bank(true, vec![usd_currency], "10.00", "5"), Some("max")),
            (bank(true, vec![usd_currency], "10.00", "10.00"), None),
        ] {
            let refused = gateway.check_takes(usd(1000)).err();
            let reason = refused.as_ref().and_then(|it| match it.refusal() {
                Some(PaymentRefusal::GatewayUnavailable { reason }) => Some(reason.as_str()),
                _ => None,
            });
            assert_eq!(reason, wanted);
        }
    }

    #[test]
    fn a_gateway_that_does_not_answer_is_left_alone_for_longer_each_time() {
        let mut health = Health::default();
        let mut now = Time::ZERO;
        (0..4).for_each(|_| health.note(Verdict::Failed, now));
        assert!(health.lets_through(now));
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            health.note(Verdict::Failed, now);
            let until = now.after(Duration::from_secs(60 * minutes));
            assert_eq!(health.open_until, Some(until), "{minutes} min");
            assert!(!health.lets_through(until.before(Duration::from_micros(1))));
            now = until;
            assert!(health.lets_through(now));
            health.begin(now);
            assert!(!health.lets_through(now), "one at a time");
        }
        health.note(Verdict::Declined, now);
        assert!(health.lets_through(now), "it answers again");
    }

    #[test]
    fn a_gateway_that_fails_every_other_time_is_left_alone_as_well() {
        let mut health = Health::default();
        for call in 1..=19 {
            health.note(if call % 2 == 1 { Verdict::Failed } else { Verdict::Declined }, Time::ZERO);
            assert_eq!(health.lets_through(Time::ZERO), call < 19, "after {call} calls");
        }
        health.note(Verdict::Succeeded, Time::ZERO);
        health.note(Verdict::Failed, Time::ZERO);
        assert!(health.lets_through(Time::ZERO), "it begins anew");
        let mut declining = Health::default();
        (0..64).for_each(|_| declining.note(Verdict::Declined, Time::ZERO));
        assert!(declining.lets_through(Time::ZERO), "payers without money are not its fault");
    }

    #[test]
    fn what_goes_back_is_never_more_than_what_came() {
        for (refunded, disputed, reversed, wanted) in [
            (0, 0, false, 1000),
            (400, 0, false, 600),
            (400, 600, false, 0),
            (0, 0, true, 0),
            (1000, 0, false, 0),
        ] {
            let mut payment = paid(1000);
            (payment.refunded, payment.disputed, payment.is_reversed) =
                (usd(refunded), usd(disputed), reversed);
            assert_eq!(payment.refundable().unwrap(), usd(wanted));
        }
    }

    fn paid(minor: i128) -> Payment {
        let at = Time::ZERO;
        Payment {
            user: None,
            payable: None,
            amount: usd(minor),
            received: usd(minor),
            paid_state: PaidState::Exact,
            refunded: usd(0),
            disputed: usd(0),
            is_reversed: false,
            review: Review::None,
            said: None,
            gateway: None,
            attempt: None,
            attempts: 1,
            last_error: None,
            expires_at: at,
            asked: 0,
            poll_at: None,
            due_at: None,
            history: History::begin(Is::Settled, &Caller::system(None), at),
            stamp: Stamp::at(at),
        }
    }

    #[test]
    fn an_amount_needs_the_confirmations_of_the_smallest_band_it_fits_into() {
        let band = |currency: &str, up_to: Option<&str>, confirmations| Band {
            currency: currency.parse().unwrap(),
            up_to: up_to.map(str::to_owned),
            confirmations,
        };
        let setup = Setup {
            confirmations: vec![
                band("BTC", None, 6),
                band("BTC", Some("0.01"), 1),
                band("BTC", Some("0.1"), 2),
                band("USDT", Some("100"), 12),
            ],
            ..Setup::default()
        };
        for (minor, code, decimals, wanted) in [
            (1_000_000, "BTC", 8, 1),
            (1_000_001, "BTC", 8, 2),
            (10_000_000, "BTC", 8, 2),
            (10_000_001, "BTC", 8, 6),
            (100_000_000, "USDT", 6, 12),
            (100_000_001, "USDT", 6, CONFIRMATIONS),
            (1, "ETH", 18, CONFIRMATIONS),
        ] {
            assert_eq!(setup.confirmations_for(amount(minor, code, decimals)), wanted, "{minor} {code}");
        }
    }

    #[test]
    fn health_remembers_the_last_64_calls() {
        let mut health = Health::default();
        (0..10).for_each(|_| health.note(Verdict::Declined, Time::ZERO));
        assert_eq!(health.rate(), (10, 0));
        (0..60).for_each(|_| health.note(Verdict::Succeeded, Time::ZERO));
        assert_eq!(health.rate(), (64, 60));
    }
}
