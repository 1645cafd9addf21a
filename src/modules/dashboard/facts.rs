//! Which event says what. The table is all there is to change when something further is to be counted.

use super::{
    counters::count,
    model::{Fact, Metric, Money, Queue},
};
use crate::{
    kernel::{
        api::principal::UserId, boot::Boot, error::Result, events::bus::Overheard, money::CurrencyCode,
    },
    modules::{
        balance::events::{AdjustmentRejected, AdjustmentRequested, BalanceAdjusted, Direction},
        funding::events::{
            FundingCanceled, FundingCompleted, FundingExpired, FundingFailed, FundingReversed,
        },
        investment::events::{
            InvestmentAccrued, InvestmentCanceled, InvestmentClosed, InvestmentCreated,
            InvestmentDefaultRequested, InvestmentDefaulted, InvestmentEarlyClosed, InvestmentResumed,
        },
        payment::events::{
            DisputeDismissed, DisputeLost, DisputeOpened, DisputeUnbooked, DisputeWon, PaymentCanceled,
            PaymentConflictClosed, PaymentConflicted, PaymentExpired, PaymentFailed, PaymentMarkApproved,
            PaymentMarkRejected, PaymentMarked, PaymentSettled, RefundCanceled, RefundFailed,
            RefundRequested, RefundSucceeded,
        },
        swap::events::SwapExecuted,
        transaction::{
            contract::TransferId,
            events::{TransactionCreated, TransferCaptured},
        },
        user::events::{AccessApproved, AccessProposed, AccessRejected, AccessWithdrawn, UserRegistered},
        withdrawal::events::{
            WithdrawalApproved, WithdrawalCanceled, WithdrawalCompleted, WithdrawalConfirmed,
            WithdrawalConflictClosed, WithdrawalConflicted, WithdrawalExpired, WithdrawalFailed,
            WithdrawalFoundPaid, WithdrawalFoundUnpaid, WithdrawalNeedsReconciliation, WithdrawalRejected,
            WithdrawalRequested, WithdrawalReturned, WithdrawalSent,
        },
    },
};

/// `Event => |it| [what it says, …]`.
macro_rules! facts {
    ($( $event:ty => |$it:ident| [ $($fact:expr),* $(,)? ] ),* $(,)?) => {
        /// What an event says; nothing, when it is none of them.
        pub fn of(heard: &Overheard) -> Result<Vec<Fact>> {
            $( if let Some(facts) = heard.says(|$it: &$event| Ok(vec![$($fact),*]))? {
                return Ok(facts);
            } )*
            Ok(vec![])
        }
    };
}

/// Hears all of them, each in its own transaction. No listener, since how the listeners of an event run is configured
/// and counting is not.
pub fn register(boot: &mut Boot) {
    boot.overhear(|tx, heard| count(tx, heard.envelope, of(heard)?));
}

facts! {
    UserRegistered => |it| [once(Metric::Users), referral(it.referred_by)],

    FundingCompleted => |it| [
        money(credited(&it.r#type), it.user_id, &it.credit_amount, it.currency)?,
        money(Metric::Fees, it.user_id, &it.fee, it.currency)?,
    ],
    FundingFailed => |it| [money(Metric::DepositsFailed, it.user_id, &it.amount, it.currency)?],
    FundingCanceled => |it| [money(Metric::DepositsFailed, it.user_id, &it.amount, it.currency)?],
    FundingExpired => |it| [money(Metric::DepositsFailed, it.user_id, &it.amount, it.currency)?],
    FundingReversed => |it| [
        money(Metric::DepositsReversed, it.user_id, &it.credit_amount, it.currency)?,
        back(Metric::Fees, it.user_id, &it.fee, it.currency)?,
    ],

    WithdrawalRequested => |it| [asked(it)],
    WithdrawalConfirmed => |it| [waits(Queue::WithdrawalApprovals, it.user_id)],
    WithdrawalApproved => |_it| [Fact::Goes],
    WithdrawalNeedsReconciliation => |it| [waits(Queue::WithdrawalsToReconcile, it.user_id)],
    WithdrawalSent => |_it| [Fact::Goes],
    WithdrawalCompleted => |it| [
        Fact::Goes,
        paid_out(it)?,
        money(Metric::Fees, it.user_id, &it.fee, it.currency)?,
    ],
    WithdrawalRejected => |it| [
        Fact::Goes,
        money(Metric::WithdrawalsFailed, it.user_id, &it.payout, it.currency)?,
    ],
    WithdrawalCanceled => |it| [
        Fact::Goes,
        money(Metric::WithdrawalsFailed, it.user_id, &it.payout, it.currency)?,
    ],
    WithdrawalExpired => |it| [
        Fact::Goes,
        money(Metric::WithdrawalsFailed, it.user_id, &it.payout, it.currency)?,
    ],
    WithdrawalFailed => |it| [
        Fact::Goes,
        money(Metric::WithdrawalsFailed, it.user_id, &it.payout, it.currency)?,
    ],
    WithdrawalReturned => |it| [returned(it)?],
    WithdrawalConflicted => |it| [waits(Queue::ConflictedWithdrawals, it.user_id)],
    WithdrawalConflictClosed => |_it| [Fact::Goes],
    WithdrawalFoundPaid => |it| [Fact::Goes, found_paid(it)?, paid_again(it)?, fee_again(it)?],
    WithdrawalFoundUnpaid => |it| [
        Fact::Goes,
        undone(Metric::Withdrawals, it.user_id, &it.payout, it.currency)?,
        back(Metric::Fees, it.user_id, &it.fee, it.currency)?,
        money(Metric::WithdrawalsFailed, it.user_id, &it.payout, it.currency)?,
    ],

    PaymentMarked => |it| [waits(Queue::PaymentApprovals, it.user_id)],
    PaymentMarkApproved => |_it| [Fact::Goes],
    PaymentMarkRejected => |_it| [Fact::Goes],
    PaymentConflictClosed => |_it| [Fact::Goes],
    PaymentConflicted => |it| [waits(Queue::ConflictedPayments, it.user_id)],
    PaymentSettled => |it| [Fact::Goes, money(Metric::Payments, it.user_id, &it.received, it.currency)?],
    PaymentFailed => |it| [Fact::Goes, money(Metric::PaymentsFailed, it.user_id, &it.amount, it.currency)?],
    PaymentCanceled => |it| [Fact::Goes, money(Metric::PaymentsFailed, it.user_id, &it.amount, it.currency)?],
    PaymentExpired => |it| [Fact::Goes, money(Metric::PaymentsFailed, it.user_id, &it.amount, it.currency)?],

    RefundRequested => |it| [waits(Queue::OpenRefunds, it.user_id)],
    RefundSucceeded => |it| [Fact::Goes, money(Metric::Refunds, it.user_id, &it.amount, it.currency)?],
    RefundFailed => |it| [Fact::Goes, money(Metric::RefundsFailed, it.user_id, &it.amount, it.currency)?],
    RefundCanceled => |it| [Fact::Goes, money(Metric::RefundsFailed, it.user_id, &it.amount, it.currency)?],

    DisputeUnbooked => |it| [waits(Queue::UnbookedDisputes, it.user_id)],
    DisputeOpened => |_it| [Fact::Goes],
    DisputeWon => |_it| [Fact::Goes],
    DisputeLost => |_it| [Fact::Goes],
    DisputeDismissed => |_it| [Fact::Goes],

    SwapExecuted => |it| [
        money(Metric::Swaps, it.user_id, &it.from_amount, it.from_currency)?,
        money(Metric::Fees, it.user_id, &it.fee, it.from_currency)?,
    ],
    InvestmentCreated => |it| [money(Metric::Investments, it.user_id, &it.amount, it.currency)?],
    InvestmentAccrued => |it| [money(Metric::Earnings, it.user_id, &it.amount, it.currency)?],
    InvestmentDefaultRequested => |it| [waits(Queue::InvestmentDefaults, it.user_id)],
    InvestmentResumed => |_it| [Fact::Goes],
    InvestmentClosed => |it| [
        Fact::Goes,
        money(Metric::InvestmentsClosed, it.user_id, &it.amount, it.currency)?,
    ],
    InvestmentEarlyClosed => |it| [
        Fact::Goes,
        money(Metric::InvestmentsClosed, it.user_id, &it.amount, it.currency)?,
    ],
    InvestmentCanceled => |it| [
        Fact::Goes,
        money(Metric::InvestmentsFailed, it.user_id, &it.amount, it.currency)?,
    ],
    InvestmentDefaulted => |it| [
        Fact::Goes,
        money(Metric::InvestmentsFailed, it.user_id, &it.amount, it.currency)?,
    ],
    AdjustmentRequested => |it| [waits(Queue::AdjustmentApprovals, it.user_id)],
    AdjustmentRejected => |_it| [Fact::Goes],
    BalanceAdjusted => |it| [Fact::Goes, adjustment(it)?],

    AccessProposed => |_it| [waits(Queue::AccessApprovals, None)],
    AccessApproved => |_it| [Fact::Goes],
    AccessRejected => |_it| [Fact::Goes],
    AccessWithdrawn => |_it| [Fact::Goes],

    TransactionCreated => |it| [transferred(it)?],
    TransferCaptured => |it| [captured(it)?],
}

fn once(metric: Metric) -> Fact {
    Fact::Counts { metric, user: None, times: 1, money: None }
}

fn referral(by: Option<UserId>) -> Fact {
    Fact::Counts { metric: Metric::Referrals, user: by, times: i64::from(by.is_some()), money: None }
}

/// Once, with so much money: an amount of zero is no occasion.
fn money(metric: Metric, user: impl Into<Option<UserId>>, text: &str, code: CurrencyCode) -> Result<Fact> {
    let money = Money::parse(text, code)?;
    let times = i64::from(money.minor != 0);
    Ok(Fact::Counts { metric, user: user.into(), times, money: Some(money) })
}

/// Money of an earlier occasion that is given back: that one stays counted.
fn back(metric: Metric, user: UserId, text: &str, code: CurrencyCode) -> Result<Fact> {
    let money = Some(Money::parse(text, code)?.negated());
    Ok(Fact::Counts { metric, user: Some(user), times: 0, money })
}

/// An earlier occasion that was none.
fn undone(metric: Metric, user: UserId, text: &str, code: CurrencyCode) -> Result<Fact> {
    let money = Money::parse(text, code)?;
    let times = -i64::from(money.minor != 0);
    Ok(Fact::Counts { metric, user: Some(user), times, money: Some(money.negated()) })
}

/// What it was counted as, and is not.
fn found_paid(it: &WithdrawalFoundPaid) -> Result<Fact> {
    let was = match it.from_status.as_deref() {
        Some("returned") => Metric::WithdrawalsReturned,
        _ => Metric::WithdrawalsFailed,
    };
    undone(was, it.user_id, &it.payout, it.currency)
}

/// What came back had counted as arrived, and still does.
fn paid_again(it: &WithdrawalFoundPaid) -> Result<Fact> {
    match it.from_status.as_deref() {
        Some("returned") => Ok(nothing()),
        _ => money(Metric::Withdrawals, it.user_id, &it.payout, it.currency),
    }
}

/// The fee of what came back was kept.
fn fee_again(it: &WithdrawalFoundPaid) -> Result<Fact> {
    match it.from_status.as_deref() {
        Some("returned") => Ok(nothing()),
        _ => money(Metric::Fees, it.user_id, &it.fee, it.currency),
    }
}

/// What was credited counts as more, what was debited as less.
fn adjustment(it: &BalanceAdjusted) -> Result<Fact> {
    let money = Money::parse(&it.amount, it.currency)?;
    let money = match it.direction {
        Direction::Credit => money,
        Direction::Debit => money.negated(),
    };
    Ok(Fact::Counts { metric: Metric::Adjustments, user: it.user_id, times: 1, money: Some(money) })
}

/// What moved by a transfer, or by its reversal. What is only set aside is told when it is captured.
fn transferred(it: &TransactionCreated) -> Result<Fact> {
    let metric = if it.entry_type == "credit" { Metric::TransfersIn } else { Metric::TransfersOut };
    if it.status != "completed" || it.cause.parse::<TransferId>().is_err() {
        return Ok(nothing());
    }
    money(metric, it.user_id, &it.amount, it.currency)
}

/// What was set aside and has gone.
fn captured(it: &TransferCaptured) -> Result<Fact> {
    match it.user_id {
        Some(payer) => money(Metric::TransfersOut, payer, &it.amount, it.currency),
        None => Ok(nothing()),
    }
}

fn nothing() -> Fact {
    Fact::Counts { metric: Metric::TransfersOut, user: None, times: 0, money: None }
}

fn waits(queue: Queue, user: impl Into<Option<UserId>>) -> Fact {
    Fact::Waits { queue, user: user.into() }
}

/// People are asked once the user has confirmed it.
fn asked(it: &WithdrawalRequested) -> Fact {
    if it.status == "pending_confirmation" {
        return Fact::Goes;
    }
    waits(Queue::WithdrawalApprovals, it.user_id)
}

/// A deposit, or a credit by staff.
fn credited(kind: &str) -> Metric {
    if kind == "deposit" { Metric::Deposits } else { Metric::Credits }
}

/// What a completed withdrawal was: charges by staff are paid to the house, and reach nobody else.
fn paid_out(it: &WithdrawalCompleted) -> Result<Fact> {
    let (metric, amount) = match it.r#type.as_str() {
        "fee" => (Metric::Fees, &it.amount),
        "tax" => (Metric::Taxes, &it.amount),
        _ => (Metric::Withdrawals, &it.payout),
    };
    money(metric, it.user_id, amount, it.currency)
}

/// What came back, or what of a charge was given back.
fn returned(it: &WithdrawalReturned) -> Result<Fact> {
    match it.r#type.as_str() {
        "fee" => back(Metric::Fees, it.user_id, &it.amount, it.currency),
        "tax" => back(Metric::Taxes, it.user_id, &it.amount, it.currency),
        _ => money(Metric::WithdrawalsReturned, it.user_id, &it.payout, it.currency),
    }
}
