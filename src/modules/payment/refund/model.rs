//! The rules of refunds: states, the row, and what follows from a row alone. No transaction in here.

use crate::{
    kernel::{
        api::{
            input::text_enum,
            object::{Stamp, stamped},
            principal::UserId,
        },
        clock::Time,
        machine::{History, Machine},
        money::Amount,
        store::codec::{Decode, Encode, row},
    },
    modules::{
        balance::contract::{EntryId, HoldId},
        client::contract::Approval,
        payment::{
            before::RefundV1,
            contract::{GatewayId, GatewayKind, PaymentId, RefundStatus, SettlementId},
            model::{MOST_QUESTIONS, patience},
        },
        transaction::contract::TransactionId,
    },
};

text_enum! {
    pub enum RefundEvent {
        Approve = "approve",
        Reject = "reject",
        Cancel = "cancel",
        Succeed = "succeed",
        Fail = "fail",
    }
}

use RefundEvent as On;
use RefundStatus as Is;

pub const REFUND: Machine<RefundStatus, RefundEvent> = Machine {
    name: "refund",
    initial: &[Is::RequiresApproval, Is::Pending],
    moves: &[
        (Is::RequiresApproval, On::Approve, Is::Pending),
        (Is::RequiresApproval, On::Reject, Is::Canceled),
        (Is::RequiresApproval, On::Cancel, Is::Canceled),
        (Is::Pending, On::Succeed, Is::Succeeded),
        (Is::Pending, On::Fail, Is::Failed),
        // Only while nobody was told of it: a person pays it back, and has not.
        (Is::Pending, On::Cancel, Is::Canceled),
    ],
};

/// Money that goes back.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Refund {
    /// What it came for.
    pub payment: PaymentId,
    /// Whose money it is; nobody's in suspense.
    pub user: Option<UserId>,
    pub gateway: GatewayId,
    pub kind: GatewayKind,
    /// The gateway's reference of the money that came.
    pub charge: String,
    pub amount: Amount,
    pub reason: String,
    pub source: Source,
    /// The gateway's own, or the bank's.
    pub reference: Option<String>,
    pub error: Option<String>,
    /// The gateway could not say what became of it, or was asked long enough: a person finds out.
    pub needs_review: bool,
    /// How often the gateway was asked what became of it.
    pub asked: u32,
    /// When it is asked next. Invariant: `None` unless pending.
    pub due_at: Option<Time>,
    /// The entry that booked it. Invariant: there once succeeded, and only then.
    pub entry: Option<EntryId>,
    /// What its user sees of it.
    pub transaction: Option<TransactionId>,
    /// What others think of it, where they have to agree. All that is refunded of its payment decides how many.
    pub approval: Option<Approval>,
    pub history: History<RefundStatus>,
    pub stamp: Stamp,
}
row!(Refund, 2, { 1 => RefundV1 });
stamped!(Refund);

/// Where the money waits until it went.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub enum Source {
    /// Held from its user's available money.
    Held(HoldId),
    /// In suspense.
    Suspense(SettlementId),
}

impl Refund {
    pub fn status(&self) -> RefundStatus {
        self.history.status()
    }

    /// A person pays it back, or finds out what became of it: only then is a person believed.
    pub fn is_for_a_person(&self) -> bool {
        self.kind.pays_back_by_hand() || self.needs_review
    }

    /// Whether it may still be withdrawn: nobody was told of it.
    pub fn is_withdrawable(&self) -> bool {
        match self.status() {
            Is::RequiresApproval => true,
            Is::Pending => self.kind.pays_back_by_hand(),
            Is::Succeeded | Is::Failed | Is::Canceled => false,
        }
    }

    /// The gateway is asked again later; after enough questions a person finds out.
    pub fn ask_later(&mut self, now: Time) {
        self.due_at = (self.asked < MOST_QUESTIONS).then(|| now.after(patience(self.asked)));
        self.needs_review |= self.due_at.is_none();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{api::call::Caller, id::Id as _, money::Currency, store::codec::golden};

    fn refund(kind: GatewayKind, status: RefundStatus) -> Refund {
        let at = Time::from_micros(1_795_342_000_000_000);
        let usd = Currency { code: "USD".parse().unwrap(), decimals: 2 };
        Refund {
            payment: PaymentId::from_bytes([2; 16]),
            user: Some(UserId::from_bytes([1; 16])),
            gateway: GatewayId::from_bytes([4; 16]),
            kind,
            charge: "pi_1".into(),
            amount: Amount::new(500, usd).unwrap(),
            reason: "sent back".into(),
            source: Source::Held(HoldId::from_bytes([5; 16])),
            reference: Some("re_1".into()),
            error: None,
            needs_review: false,
            asked: 1,
            due_at: Some(at),
            entry: None,
            transaction: Some(TransactionId::from_bytes([6; 16])),
            approval: None,
            history: History::begin(status, &Caller::system(None), at),
            stamp: Stamp::at(at),
        }
    }

    #[test]
    fn the_stored_form_stays_what_it_is() {
        let waiting = refund(GatewayKind::Http, Is::Pending);
        let approval = Some(Approval::of_before(waiting.amount));
        golden("payment.refunds", &Refund { approval, ..waiting });
    }

    #[test]
    fn the_table_is_sound() {
        assert_eq!(REFUND.flaws(), Vec::<String>::new());
    }

    #[test]
    fn nothing_leads_on_from_the_end_of_a_refund() {
        for end in [Is::Succeeded, Is::Failed, Is::Canceled] {
            assert!(REFUND.is_final(end), "{end}");
        }
    }

    #[test]
    fn a_refund_is_withdrawn_only_while_nobody_was_told() {
        for (kind, status, wanted) in [
            (GatewayKind::Http, Is::RequiresApproval, true),
            (GatewayKind::Http, Is::Pending, false),
            (GatewayKind::Sandbox, Is::Pending, false),
            (GatewayKind::Manual, Is::Pending, true),
            (GatewayKind::Crypto, Is::Pending, true),
            (GatewayKind::Manual, Is::Succeeded, false),
        ] {
            assert_eq!(refund(kind, status).is_withdrawable(), wanted, "{kind} {status}");
        }
    }

    #[test]
    fn a_gateway_is_asked_until_a_person_has_to_find_out() {
        let mut refund = refund(GatewayKind::Http, Is::Pending);
        let now = Time::from_micros(1_795_342_000_000_000);
        refund.asked = MOST_QUESTIONS - 1;
        refund.ask_later(now);
        assert!(refund.due_at.is_some() && !refund.needs_review);
        refund.asked += 1;
        refund.ask_later(now);
        assert!(refund.due_at.is_none() && refund.needs_review);
    }
}
