//! The rules of disputes: states, the row, and what follows from a row alone. No transaction in here.

use crate::{
    kernel::{
        api::{
            input::text_enum,
            object::{Stamp, stamped},
            principal::UserId,
        },
        machine::{History, Machine},
        money::Amount,
        store::codec::{Decode, Encode, row},
    },
    modules::{
        balance::contract::EntryId,
        payment::{
            before::DisputeV1,
            contract::{DisputeStatus, GatewayId, PaymentId, SettlementId},
        },
        transaction::contract::TransactionId,
    },
};

text_enum! {
    pub enum DisputeEvent {
        /// What the bank took is booked.
        ChargeBack = "charge_back",
        /// The bank took it, and it cannot be booked yet.
        Await = "await",
        Win = "win",
        Lose = "lose",
        /// It was a question only.
        Dismiss = "dismiss",
    }
}

use DisputeEvent as On;
use DisputeStatus as Is;

/// A dispute that is heard of only when it is over begins there: nothing was booked, and nothing is.
pub const DISPUTE: Machine<DisputeStatus, DisputeEvent> = Machine {
    name: "dispute",
    initial: &[Is::Inquiry, Is::Unbooked, Is::Open, Is::Won, Is::Dismissed],
    moves: &[
        (Is::Inquiry, On::ChargeBack, Is::Open),
        (Is::Inquiry, On::Await, Is::Unbooked),
        (Is::Inquiry, On::Dismiss, Is::Dismissed),
        (Is::Unbooked, On::ChargeBack, Is::Open),
        (Is::Unbooked, On::Win, Is::Won),
        // The bank keeps what was never booked; it still is, once there is something to book it on.
        (Is::Unbooked, On::Lose, Is::Lost),
        (Is::Unbooked, On::Dismiss, Is::Dismissed),
        (Is::Open, On::Win, Is::Won),
        (Is::Open, On::Lose, Is::Lost),
        // Banks think again.
        (Is::Lost, On::Win, Is::Won),
    ],
};

/// A payer's bank takes back what came, or asks about it.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Dispute {
    /// `None` while nobody knows which payment it is about: `charge` will tell.
    pub payment: Option<PaymentId>,
    /// Whose money it takes, or whose payment it is about.
    pub user: Option<UserId>,
    /// The id of what was paid for.
    pub payable: Option<String>,
    pub gateway: GatewayId,
    /// The gateway's reference of the money, where it said it.
    pub charge: Option<String>,
    pub source: Source,
    /// The gateway's own, once it told of it. Two disputes of a gateway never have the same.
    pub reference: Option<String>,
    /// What a person noted: the bank's, or the gateway's. Neither has two disputes.
    pub noted: Option<String>,
    /// What the bank wants; nothing as long as what the gateway says is no amount of the payment's currency.
    pub claimed: Amount,
    /// What is taken back: what the bank wants, as far as it did not go back already. Invariant: <= claimed, and
    /// nothing while unbooked.
    pub amount: Amount,
    pub reason: String,
    /// The entry that took it back. Invariant: there once open; once lost, unless nothing was left to take.
    pub entry: Option<EntryId>,
    /// The entry that booked it back. Invariant: there once won, if there was an entry.
    pub reversal: Option<EntryId>,
    /// What its user sees of it.
    pub transaction: Option<TransactionId>,
    pub history: History<DisputeStatus>,
    pub stamp: Stamp,
}
row!(Dispute, 2, { 1 => DisputeV1 });
stamped!(Dispute);

/// Where the money is that the bank takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Source {
    /// It was credited with its payment, or is about to be.
    Payment,
    /// In suspense: nobody's.
    Suspense(SettlementId),
    /// It was in suspense, and became a user's.
    Assigned(SettlementId),
}

impl Dispute {
    pub fn status(&self) -> DisputeStatus {
        self.history.status()
    }

    /// Whether the money is away.
    pub fn takes(&self) -> bool {
        matches!(self.status(), Is::Open | Is::Lost)
    }

    /// Whether the bank took money of which the books say nothing yet.
    pub fn is_unbooked(&self) -> bool {
        matches!(self.status(), Is::Unbooked | Is::Lost) && self.entry.is_none()
    }

    /// Whether it is undecided who gets the money.
    pub fn is_undecided(&self) -> bool {
        matches!(self.status(), Is::Inquiry | Is::Unbooked | Is::Open)
    }

    /// What others know it by: the gateway's own, or what a person noted.
    pub fn known_as(&self) -> Option<&String> {
        self.reference.as_ref().or(self.noted.as_ref())
    }
}

/// What leads from where a dispute is to where the gateway says it is. Late words lead nowhere.
pub fn way(from: DisputeStatus, to: DisputeStatus) -> &'static [DisputeEvent] {
    match (from, to) {
        (Is::Inquiry | Is::Unbooked, Is::Open) => &[On::ChargeBack],
        (Is::Inquiry, Is::Lost) => &[On::ChargeBack, On::Lose],
        (Is::Inquiry, Is::Won | Is::Dismissed) => &[On::Dismiss],
        (Is::Unbooked, Is::Dismissed) => &[On::Dismiss],
        (Is::Open | Is::Unbooked, Is::Lost) => &[On::Lose],
        (Is::Open | Is::Unbooked | Is::Lost, Is::Won) | (Is::Open | Is::Lost, Is::Dismissed) => &[On::Win],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{
        api::{call::Caller, input::Named as _},
        clock::Time,
        id::Id as _,
        money::Currency,
        store::codec::golden,
    };

    #[test]
    fn the_stored_form_stays_what_it_is() {
        let at = Time::from_micros(1_795_342_000_000_000);
        let usd = Currency { code: "USD".parse().unwrap(), decimals: 2 };
        golden(
            "payment.disputes",
            &Dispute {
                payment: Some(PaymentId::from_bytes([2; 16])),
                user: Some(UserId::from_bytes([1; 16])),
                payable: Some("fnd_1".into()),
                gateway: GatewayId::from_bytes([4; 16]),
                charge: Some("pi_1".into()),
                source: Source::Suspense(SettlementId::from_bytes([7; 16])),
                reference: Some("dp_1".into()),
                noted: Some("bank-1".into()),
                claimed: Amount::new(600, usd).unwrap(),
                amount: Amount::new(500, usd).unwrap(),
                reason: "fraudulent".into(),
                entry: Some(EntryId::from_bytes([5; 16])),
                reversal: None,
                transaction: Some(TransactionId::from_bytes([6; 16])),
                history: History::begin(Is::Open, &Caller::system(None), at),
                stamp: Stamp::at(at),
            },
        );
    }

    #[test]
    fn the_table_is_sound() {
        assert_eq!(DISPUTE.flaws(), Vec::<String>::new());
        assert!(DISPUTE.is_final(Is::Won) && DISPUTE.is_final(Is::Dismissed));
    }

    #[test]
    fn every_word_of_a_gateway_leads_along_the_table_or_nowhere() {
        for from in Is::ALL {
            for to in Is::ALL {
                let end = way(*from, *to).iter().try_fold(*from, |at, event| DISPUTE.next(at, *event));
                let end = end.unwrap_or_else(|it| panic!("{from} to {to}: {it}"));
                let is_there = end == *to || way(*from, *to).is_empty();
                let is_over = DISPUTE.is_final(end) && DISPUTE.is_final(*to);
                assert!(is_there || is_over, "{from} to {to} ends {end}");
            }
        }
    }
}
