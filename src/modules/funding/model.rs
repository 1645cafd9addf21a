//! The rules of fundings: states, the row, and who gets how much. No transaction in here.

pub mod quote;

use self::quote::Quote;
use super::{
    before::{FundingV1, ReferralV1},
    contract::{FundingId, FundingStatus, FundingType},
};
use crate::{
    kernel::{
        api::{
            input::text_enum,
            object::{Stamp, Times, stamped, timed},
            principal::UserId,
        },
        clock::Time,
        error::Result,
        id::Id as _,
        machine::{History, Machine},
        money::{Amount, Currency},
        store::codec::{Decode, Encode, row},
    },
    modules::{
        balance::contract::{Account, EntryId, HouseAccount, Line, UserAccount},
        category::contract::built_in,
        client::contract::ReferralSettings,
        payment::contract::{GatewayId, PaymentId},
        transaction::contract::TransactionId,
    },
};

text_enum! {
    pub enum FundingEvent {
        Process = "process",
        Complete = "complete",
        Fail = "fail",
        Conflict = "conflict",
        Cancel = "cancel",
        Expire = "expire",
        Reverse = "reverse",
    }
}

use FundingEvent as On;
use FundingStatus as Is;

pub const FUNDING: Machine<FundingStatus, FundingEvent> = Machine {
    name: "funding",
    initial: &[Is::Pending],
    moves: &[
        (Is::Pending, On::Process, Is::Processing),
        (Is::Pending, On::Cancel, Is::Canceled),
        (Is::Pending, On::Expire, Is::Expired),
        (Is::Processing, On::Complete, Is::Completed),
        (Is::Processing, On::Fail, Is::Failed),
        (Is::Processing, On::Conflict, Is::Conflicted),
        // An attempt was begun and nobody paid: the payment is canceled or expires, and the funding with it.
        (Is::Processing, On::Cancel, Is::Canceled),
        (Is::Processing, On::Expire, Is::Expired),
        (Is::Conflicted, On::Complete, Is::Completed),
        (Is::Conflicted, On::Fail, Is::Failed),
        // What the person was asked about was put away, and nothing came. Not while what came waits for a price.
        (Is::Conflicted, On::Cancel, Is::Canceled),
        (Is::Conflicted, On::Expire, Is::Expired),
        (Is::Completed, On::Reverse, Is::Reversed),
    ],
};

/// A deposit, or a credit by staff.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Funding {
    pub user: UserId,
    pub kind: FundingType,
    /// What was asked for.
    pub amount: Amount,
    /// What the user gets; once completed, what it got.
    pub credit: Amount,
    /// What the house keeps of what comes. Invariant once completed: credit + fee is what came, or what it was worth.
    pub fee: Amount,
    pub fee_included: bool,
    /// Of a transfer: whose money it was.
    pub from_user: Option<UserId>,
    pub reason: Option<String>,
    /// Of a deposit: how it is paid.
    pub payment: Option<PaymentId>,
    /// Of a deposit paid in another currency: what was promised, and what came.
    pub quote: Option<Quote>,
    /// Invariant: there once completed.
    pub entry: Option<EntryId>,
    /// Invariant: there once reversed.
    pub reversal: Option<EntryId>,
    pub transactions: Vec<TransactionId>,
    /// When a price is looked for again, while what came waits for one.
    pub due_at: Option<Time>,
    pub history: History<FundingStatus>,
    pub stamp: Stamp,
}
row!(Funding, 2, { 1 => FundingV1 });
stamped!(Funding);

impl Funding {
    pub fn status(&self) -> FundingStatus {
        self.history.status()
    }

    /// What a deposit is paid in.
    pub fn paid_in(&self) -> Currency {
        self.quote.as_ref().map_or(self.amount, |it| it.expected).currency()
    }

    /// Whether what came waits for a price.
    pub fn waits(&self) -> bool {
        self.quote.as_ref().is_some_and(Quote::waits)
    }

    /// What was agreed: as long as it is not completed.
    pub fn terms(&self) -> Result<Terms> {
        let to_pay = if self.fee_included { self.amount } else { self.amount.plus(self.fee)? };
        Ok(Terms { to_pay, credit: self.credit, fee: self.fee })
    }
}

text_enum! {
    /// What became of the commission for bringing somebody.
    pub enum ReferralStatus {
        /// The share was off, or nobody was there to get it.
        NoCommission = "no_commission",
        Earned = "earned",
        /// The deposit went back, and the commission account does not hold it any more: it is taken back once it does.
        Owed = "owed",
        TakenBack = "taken_back",
    }
}

/// The first deposit of somebody who was referred.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Referral {
    pub referrer: UserId,
    pub deposit: FundingId,
    /// The last that was paid. Invariant: there unless no_commission.
    pub commission: Option<FundingId>,
    pub status: ReferralStatus,
    /// When it is tried again to take it back. Invariant: there while owed, and only then.
    pub due_at: Option<Time>,
    pub times: Times,
}
row!(Referral, 2, { 1 => ReferralV1 });
timed!(Referral);

/// What a first deposit of `credit` earns whoever brought its user: rounded down, as everything a customer receives. The
/// maximum is in the default currency: where there is one, deposits in other currencies, which do not compare, earn
/// nothing.
pub fn commission(credit: Amount, settings: &ReferralSettings) -> Result<Option<Amount>> {
    let share = credit.percent_down(settings.percent)?;
    let share = match settings.maximum {
        Some(maximum) if maximum.currency() != credit.currency() => return Ok(None),
        Some(maximum) if share > maximum => maximum,
        _ => share,
    };
    Ok(Some(share).filter(|it| !it.is_zero()))
}

/// What is paid, credited and kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms {
    pub to_pay: Amount,
    pub credit: Amount,
    pub fee: Amount,
}

/// The fee is paid on top of the amount, unless it is included in it; then it must leave something: `None` otherwise.
pub fn terms(amount: Amount, fee: Amount, fee_included: bool) -> Result<Option<Terms>> {
    if !fee_included {
        return Ok(Some(Terms { to_pay: amount.plus(fee)?, credit: amount, fee }));
    }
    if fee.minor() >= amount.minor() {
        return Ok(None);
    }
    Ok(Some(Terms { to_pay: amount, credit: amount.minus(fee)?, fee }))
}

/// What came, split into what is credited and what is kept. Who paid all that was agreed, or more, pays the agreed fee.
/// Who paid a part of it pays that part of the fee, rounded up like every fee, but never all that came: something is
/// always credited, unless what came in another currency is worth less than the smallest unit.
pub fn split(received: Amount, terms: Terms) -> Result<(Amount, Amount)> {
    let mut fee = terms.fee;
    if received.is_zero() {
        return Ok((received, received));
    }
    if received < terms.to_pay {
        fee = fee.share_up(received, terms.to_pay)?;
        if fee >= received {
            fee = received.minus(Amount::new(1, received.currency())?)?;
        }
    }
    Ok((received.minus(fee)?, fee))
}

/// What crediting a deposit moves: clearing → available and fee_income, through fx when something else came. Each leg is
/// a whole number of units, so that nothing is left over: see docs/decisions/0006.
pub fn lines(funding: &Funding, gateway: GatewayId, received: Amount) -> Vec<Line> {
    let (paid, currency) = (received.currency(), funding.credit.currency());
    let clearing = Account::house(HouseAccount::Clearing(gateway.bytes()), paid);
    let available = Account::user(funding.user, UserAccount::Available, currency);
    let fee_income = Account::house(HouseAccount::FeeIncome, currency);
    let mut lines = vec![
        Line::lower(clearing, received),
        Line::raise(available, funding.credit),
        Line::raise(fee_income, funding.fee),
    ];
    if paid != currency {
        lines.push(Line::raise(Account::house(HouseAccount::Fx, paid), received));
        let credited = Account::house(HouseAccount::Fx, currency);
        lines.extend([Line::lower(credited, funding.credit), Line::lower(credited, funding.fee)]);
    }
    lines
}

/// The account a funding of this type credits, and the category of its records.
pub fn credited(kind: FundingType) -> (UserAccount, &'static str) {
    match kind {
        FundingType::Deposit => (UserAccount::Available, built_in::DEPOSIT),
        FundingType::Profit => (UserAccount::Available, built_in::PROFIT),
        FundingType::Commission => (UserAccount::Commission, built_in::COMMISSION),
        FundingType::Transfer => (UserAccount::Available, built_in::TRANSFER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{api::call::Caller, store::codec::golden};

    fn usd(minor: i128) -> Amount {
        Amount::new(minor, Currency { code: "USD".parse().unwrap(), decimals: 2 }).unwrap()
    }

    #[test]
    fn the_stored_form_stays_what_it_is() {
        let at = Time::from_micros(1_795_342_000_000_000);
        golden(
            "funding.referrals",
            &Referral {
                referrer: UserId::from_bytes([1; 16]),
                deposit: FundingId::from_bytes([2; 16]),
                commission: Some(FundingId::from_bytes([3; 16])),
                status: ReferralStatus::Owed,
                due_at: Some(at),
                times: Times::at(at),
            },
        );
        let promised = quote::tests::promised(at);
        let came = quote::Came {
            received: promised.expected,
            gateway: GatewayId::from_bytes([6; 16]),
            at,
            priced: Some(promised.priced.clone()),
            waits: Some(EntryId::from_bytes([5; 16])),
        };
        let quote = Quote { came: Some(came), ..promised };
        golden(
            "funding.fundings",
            &Funding {
                user: UserId::from_bytes([1; 16]),
                kind: FundingType::Deposit,
                amount: usd(1000),
                credit: usd(1000),
                fee: usd(15),
                fee_included: false,
                from_user: None,
                reason: Some("savings".into()),
                payment: Some(PaymentId::from_bytes([2; 16])),
                quote: Some(quote),
                entry: Some(EntryId::from_bytes([3; 16])),
                reversal: None,
                transactions: vec![TransactionId::from_bytes([4; 16])],
                due_at: Some(at),
                history: History::begin(Is::Pending, &Caller::system(None), at),
                stamp: Stamp::at(at),
            },
        );
    }

    #[test]
    fn a_first_deposit_earns_a_share_rounded_down_up_to_the_maximum() {
        let eur = Currency { code: "EUR".parse().unwrap(), decimals: 2 };
        let in_eur = |minor| Amount::new(minor, eur).unwrap();
        for (credit, percent, maximum, wanted) in [
            (usd(10_000), "5", None, Some(usd(500))),
            (usd(10_000), "0", None, None),
            (usd(1999), "5", None, Some(usd(99))), // 99.95
            (usd(19), "5", None, None),            // 0.95
            (usd(10_000), "5", Some(usd(500)), Some(usd(500))),
            (usd(10_000), "5", Some(usd(499)), Some(usd(499))),
            (usd(10_000), "5", Some(usd(0)), None),
            (in_eur(10_000), "5", None, Some(in_eur(500))),
            (in_eur(10_000), "5", Some(usd(499)), None),
        ] {
            let settings = ReferralSettings { percent: percent.parse().unwrap(), maximum };
            assert_eq!(
                commission(credit, &settings).unwrap(),
                wanted,
                "{percent} % of {credit}, {maximum:?}"
            );
        }
    }

    #[test]
    fn the_table_is_sound() {
        assert_eq!(FUNDING.flaws(), Vec::<String>::new());
    }

    #[test]
    fn the_fee_is_paid_on_top_unless_it_is_included() {
        for (amount, fee, included, wanted) in [
            (1000, 0, false, Some((1000, 1000))),
            (1000, 15, false, Some((1015, 1000))),
            (1000, 15, true, Some((1000, 985))),
            (15, 15, true, None),
            (10, 15, true, None),
            (10, 15, false, Some((25, 10))),
        ] {
            let terms = terms(usd(amount), usd(fee), included).unwrap();
            let found = terms.map(|it| (it.to_pay.minor(), it.credit.minor()));
            assert_eq!(found, wanted, "{amount} with a fee of {fee}, included: {included}");
        }
    }

    /// A fixed fee of 15.00 once ate a part of 10.00 whole: who had paid it was credited nothing.
    #[test]
    fn of_a_part_a_part_of_the_fee_is_kept_and_something_is_always_credited() {
        for (received, (amount, fee, included), wanted) in [
            (1015, (1000, 15, false), (1000, 15)),
            (1000, (1000, 15, true), (985, 15)),
            (2000, (1000, 15, false), (1985, 15)), // More came: the fee is what was agreed.
            (500, (1000, 15, false), (492, 8)),    // 7.39, rounded up
            (1000, (1000, 1500, false), (400, 600)),
            (2, (1000, 1500, false), (1, 1)), // 1.2 would round up to all of it
            (1, (1000, 15, false), (1, 0)),
            (7, (1000, 0, false), (7, 0)),
            (0, (1000, 15, false), (0, 0)), // A satoshi is worth less than a cent.
        ] {
            let terms = terms(usd(amount), usd(fee), included).unwrap().unwrap();
            let (credit, fee) = split(usd(received), terms).unwrap();
            assert_eq!((credit.minor(), fee.minor()), wanted, "of {received}");
            assert_eq!(credit.minor() + fee.minor(), received);
        }
    }
}
