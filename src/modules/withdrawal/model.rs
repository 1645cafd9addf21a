//! A withdrawal and its rules: pure, no transaction.
//!
//! ```text
//!   create ─► pending_confirmation ──confirm─┐
//!       │               │ reject, cancel, expire
//!       ▼               ▼                    │
//!   pending_review ◄─────────────────────────┘
//!                   └──approve──► approved ──process──► processing ──gateway_completed──► completed ──return──► returned
//!                   │                        │                      │ ├──────gateway_failed─────► failed
//!                   └─reject, cancel, expire─┘                      │ └──gateway_sent──► sent ──complete, fail──► …
//!                                                                   └─lose_track─► needs_reconciliation ◄─lose_track─┘
//! ```
//!
//! A gateway tells by itself, too: `sent` is completed or failed by it (`gateway_completed`, `gateway_failed`), and
//! what had arrived may come back (`gateway_returned`).
//!
//! What a gateway says against what a person said (paid, of what was given back; failed, of what had arrived; another
//! amount) moves nothing by itself: it is a `conflict`, and two people say what is true. `found_paid` and `found_unpaid`
//! lead from one end to the other then, and book it.
//!
//! The money is held in every state up to `needs_reconciliation`; the move out of them releases or captures it.

use std::time::Duration;

use super::{
    before,
    contract::{BeneficiaryId, WithdrawalId, WithdrawalStatus, WithdrawalType},
    method::Method,
};
use crate::kernel::{
    api::{
        call::Caller,
        input::text_enum,
        object::{Stamp, stamped},
        principal::{Actor, UserId},
    },
    clock::Time,
    error::Result,
    machine::{History, Machine, Step},
    mailed::MailedToken,
    money::Amount,
    store::codec::{Decode, Encode, row},
};
use crate::modules::{
    balance::contract::{HoldId, HouseAccount, PayoutConflictId},
    client::contract::{Approval, ApprovalPolicy},
    payment::contract::{GatewayInfo, MOST_QUESTIONS, patience},
    transaction::contract::TransactionId,
};

text_enum! {
    pub enum WithdrawalEvent {
        /// Its user says, with what was mailed, that it wants it.
        Confirm = "confirm",
        /// Enough people, or the client's rules, agree.
        Approve = "approve",
        Reject = "reject",
        Cancel = "cancel",
        /// Nobody decided, or processed it, in time.
        Expire = "expire",
        /// A gateway is asked: once.
        Process = "process",
        GatewaySent = "gateway_sent",
        GatewayCompleted = "gateway_completed",
        GatewayFailed = "gateway_failed",
        /// The gateway said that it had arrived, and says now that it did not.
        GatewayReturned = "gateway_returned",
        /// The gateway did not say, or did not say in time.
        LoseTrack = "lose_track",
        /// A person found out that it is on its way after all.
        Send = "send",
        /// A person found out that it has arrived.
        Complete = "complete",
        /// A person found out that it was not paid out.
        Fail = "fail",
        /// It came back.
        Return = "return",
        /// It had been given up, or was back, and two people found out that it was paid after all.
        FoundPaid = "found_paid",
        /// A person had said that it had arrived, and two found out that it never went.
        FoundUnpaid = "found_unpaid",
    }
}

use WithdrawalEvent::*;
use WithdrawalStatus::*;

/// While a gateway is being asked nobody else decides: whoever failed what is being sent would pay twice. An answer
/// that comes late, after its deadline, still counts.
pub const WITHDRAWAL: Machine<WithdrawalStatus, WithdrawalEvent> = Machine {
    name: "withdrawal",
    initial: &[PendingConfirmation, PendingReview, Completed],
    moves: &[
        (PendingConfirmation, Confirm, PendingReview),
        (PendingConfirmation, Reject, Rejected),
        (PendingConfirmation, Cancel, Canceled),
        (PendingConfirmation, Expire, Expired),
        (PendingReview, Approve, Approved),
        (PendingReview, Reject, Rejected),
        (PendingReview, Cancel, Canceled),
        (PendingReview, Expire, Expired),
        (Approved, Process, Processing),
        (Approved, Reject, Rejected),
        (Approved, Cancel, Canceled),
        (Approved, Expire, Expired),
        (Processing, GatewaySent, Sent),
        (Processing, GatewayCompleted, Completed),
        (Processing, GatewayFailed, Failed),
        (Processing, LoseTrack, NeedsReconciliation),
        (Sent, GatewayCompleted, Completed),
        (Sent, GatewayFailed, Failed),
        (Sent, Complete, Completed),
        (Sent, Fail, Failed),
        (Sent, LoseTrack, NeedsReconciliation),
        (NeedsReconciliation, Send, Sent),
        (NeedsReconciliation, Complete, Completed),
        (NeedsReconciliation, Fail, Failed),
        (NeedsReconciliation, GatewaySent, Sent),
        (NeedsReconciliation, GatewayCompleted, Completed),
        (NeedsReconciliation, GatewayFailed, Failed),
        (Completed, GatewayReturned, Returned),
        (Completed, Return, Returned),
        (Completed, FoundUnpaid, Failed),
        (Failed, FoundPaid, Completed),
        (Returned, FoundPaid, Completed),
    ],
};

/// How long a user has to confirm what it asked for: long enough for slow mail, and for somebody asleep.
pub const CONFIRMED_WITHIN: Duration = Duration::from_secs(24 * 3600);

impl WithdrawalStatus {
    /// Whether the money is set aside, neither the user's to spend nor gone.
    pub fn holds_money(self) -> bool {
        matches!(
            self,
            PendingConfirmation | PendingReview | Approved | Processing | Sent | NeedsReconciliation
        )
    }

    /// Until when it may stay so, having become so at `at`; `None` where nothing is waited for, or a person is who
    /// sees it in a list of its own.
    pub fn deadline(self, at: Time) -> Option<Time> {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        match self {
            PendingConfirmation => Some(at.after(CONFIRMED_WITHIN)),
            PendingReview | Approved => Some(at.after(30 * DAY)),
            Processing => Some(at.after(Duration::from_secs(5 * 60))),
            Sent => Some(at.after(7 * DAY)),
            _ => None,
        }
    }

    /// What happens at the deadline, and why.
    pub fn overdue(self) -> Option<(WithdrawalEvent, &'static str)> {
        match self {
            PendingConfirmation => Some((Expire, "its user did not confirm it in time")),
            PendingReview => Some((Expire, "nobody decided in time")),
            Approved => Some((Expire, "nobody processed it in time")),
            Processing => Some((LoseTrack, "the gateway did not answer in time")),
            Sent => Some((LoseTrack, "its arrival was not confirmed in time")),
            _ => None,
        }
    }
}

/// Money on its way out.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Withdrawal {
    pub id: WithdrawalId,
    pub user: UserId,
    pub purpose: Purpose,
    /// What was asked for.
    pub amount: Amount,
    pub fee: Amount,
    pub fee_included: bool,
    /// What reaches its destination. Invariant: the amount, less the fee when it is included.
    pub payout: Amount,
    pub history: History<WithdrawalStatus>,
    pub approval: Approval,
    /// The gateway asked. Invariant: there from `processing` on.
    pub gateway: Option<GatewayInfo>,
    /// The gateway's reference.
    pub reference: Option<String>,
    /// When what it waits for is overdue; `None` when it waits for nothing.
    pub due_at: Option<Time>,
    /// Its records: the payout, then the fee.
    pub records: Vec<TransactionId>,
    /// What was mailed. Invariant: there exactly while the user has to confirm it.
    pub confirmation: Option<MailedToken>,
    /// What its gateway says that cannot be true with what the books say, until two people say what is.
    pub conflict: Option<Conflict>,
    pub stamp: Stamp,
}
row!(Withdrawal, 3, { 1 => before::WithdrawalV1, 2 => before::WithdrawalV2 });
stamped!(Withdrawal);

/// A gateway contradicts the books.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Conflict {
    /// The cause of the entry that puts it right.
    pub id: PayoutConflictId,
    /// What the gateway says.
    pub reason: String,
    /// The gateway's reference.
    pub reference: Option<String>,
    pub at: Time,
    /// What a decision names: another one once the gateway says something else, or somebody has proposed something.
    pub revision: u32,
    /// What the first of two people says.
    pub proposal: Option<Proposal>,
}

/// What became of a payout, as somebody found out.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Proposal {
    pub truth: PayoutTruth,
    pub by: Actor,
    pub reason: String,
    pub at: Time,
}

text_enum! {
    /// What became of a payout that the gateway and the books do not agree about.
    pub enum PayoutTruth {
        /// The money went.
        Paid = "paid",
        /// The money did not go, or is back.
        NotPaid = "not_paid",
    }
}

impl PayoutTruth {
    /// What leads from where a withdrawal is to where it belongs; `None` when it is there.
    pub fn leads_by(self, from: WithdrawalStatus) -> Option<WithdrawalEvent> {
        match (self, from) {
            (PayoutTruth::Paid, Failed | Returned) => Some(FoundPaid),
            (PayoutTruth::NotPaid, Completed) => Some(FoundUnpaid),
            _ => None,
        }
    }
}

/// What it is for.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub enum Purpose {
    /// `hold` sets payout and fee aside.
    CashOut { method: Method, beneficiary: Option<BeneficiaryId>, hold: HoldId },
    /// A charge for the house, taken at once.
    Charge { kind: ChargeKind, reason: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum ChargeKind {
    Fee,
    Tax,
}

impl ChargeKind {
    pub fn account(self) -> HouseAccount {
        match self {
            ChargeKind::Fee => HouseAccount::FeeIncome,
            ChargeKind::Tax => HouseAccount::Tax,
        }
    }
}

impl Withdrawal {
    pub fn status(&self) -> WithdrawalStatus {
        self.history.status()
    }

    pub fn kind(&self) -> WithdrawalType {
        match &self.purpose {
            Purpose::CashOut { .. } => WithdrawalType::CashOut,
            Purpose::Charge { kind: ChargeKind::Fee, .. } => WithdrawalType::Fee,
            Purpose::Charge { kind: ChargeKind::Tax, .. } => WithdrawalType::Tax,
        }
    }

    pub fn hold(&self) -> Option<HoldId> {
        match &self.purpose {
            Purpose::CashOut { hold, .. } => Some(*hold),
            Purpose::Charge { .. } => None,
        }
    }

    /// Where a cash-out goes.
    pub fn method(&self) -> Option<&Method> {
        match &self.purpose {
            Purpose::CashOut { method, .. } => Some(method),
            Purpose::Charge { .. } => None,
        }
    }

    pub fn beneficiary(&self) -> Option<BeneficiaryId> {
        match &self.purpose {
            Purpose::CashOut { beneficiary, .. } => *beneficiary,
            Purpose::Charge { .. } => None,
        }
    }

    /// What a charge is for.
    pub fn charged_for(&self) -> Option<&str> {
        match &self.purpose {
            Purpose::CashOut { .. } => None,
            Purpose::Charge { reason, .. } => Some(reason),
        }
    }

    /// What leaves the user's account: payout and fee.
    pub fn total(&self) -> Result<Amount> {
        self.payout.plus(self.fee)
    }

    /// Where the payout goes in the books. `None` before a gateway was chosen.
    pub fn destination(&self) -> Option<HouseAccount> {
        use crate::kernel::id::Id as _;
        match &self.purpose {
            Purpose::CashOut { .. } => {
                self.gateway.as_ref().map(|it| HouseAccount::PayoutClearing(it.id.bytes()))
            }
            Purpose::Charge { kind, .. } => Some(kind.account()),
        }
    }

    /// Moves by `event`. What is overdue for expiry is judged as expired, whether or not the timer ran. Refuses
    /// `invalid_state_transition`.
    pub fn step(
        &mut self,
        event: WithdrawalEvent,
        caller: &Caller,
        reason: Option<&str>,
        now: Time,
    ) -> Result<Step> {
        self.check_not_expired(event, now)?;
        let step = self.history.step(&WITHDRAWAL, event, caller, reason, now)?;
        if step == Step::Moved {
            self.due_at = self.status().deadline(now);
            self.stamp.touch(now);
        }
        Ok(step)
    }

    /// Refuses `invalid_state_transition`, as of what is expired, once its time to be decided or processed is over.
    pub fn check_not_expired(&self, event: WithdrawalEvent, now: Time) -> Result<()> {
        let is_due = self.due_at.is_some_and(|it| now >= it);
        let expires = self.status().overdue().is_some_and(|it| it.0 == Expire);
        if is_due && expires && event != Expire {
            return Err(WITHDRAWAL.refusal(Expired, event).into());
        }
        Ok(())
    }

    /// What people think of it, under the rules of now while they are asked.
    pub fn approval_under(&self, policy: &ApprovalPolicy) -> Approval {
        let approval = self.approval.clone();
        if self.status() == PendingReview { approval.seen_under(policy.clone()) } else { approval }
    }
}

/// Asking a gateway what became of a payout, as long as nobody knows.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Question {
    /// How often it was asked.
    pub asked: u32,
    /// `None` when it was asked often enough: a person finds out.
    pub due_at: Option<Time>,
}
row!(Question);

impl Question {
    pub fn first(now: Time) -> Question {
        Question { asked: 0, due_at: Some(now.after(patience(0))) }
    }

    /// It is asked now, and later the next time.
    pub fn ask(&mut self, now: Time) {
        self.asked += 1;
        self.due_at = (self.asked < MOST_QUESTIONS).then(|| now.after(patience(self.asked)));
    }
}

/// Where a user may be paid out to.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Beneficiary {
    pub id: BeneficiaryId,
    pub user: UserId,
    pub label: String,
    pub method: Method,
    pub standing: Standing,
    pub stamp: Stamp,
}
row!(Beneficiary, 2, { 1 => before::BeneficiaryV1 });
stamped!(Beneficiary);

/// Whether a beneficiary may be paid.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub enum Standing {
    /// Its user is to confirm it with what was mailed; it is removed when nobody does in time.
    Unconfirmed(MailedToken),
    /// From this instant on.
    ReadyAt(Time),
}

impl Beneficiary {
    pub fn ready_at(&self) -> Option<Time> {
        match self.standing {
            Standing::Unconfirmed(_) => None,
            Standing::ReadyAt(at) => Some(at),
        }
    }

    /// Until when it has to be confirmed.
    pub fn confirm_by(&self) -> Option<Time> {
        match &self.standing {
            Standing::Unconfirmed(token) => Some(token.expires_at),
            Standing::ReadyAt(_) => None,
        }
    }
}
