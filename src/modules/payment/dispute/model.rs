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
        payment::contract::{DisputeStatus, GatewayId, PaymentId},
        transaction::contract::TransactionId,
    },
};

text_enum! {
    pub enum DisputeEvent {
        /// The bank takes the money back.
        ChargeBack = "charge_back",
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
    initial: &[Is::Inquiry, Is::Open, Is::Won, Is::Dismissed],
    moves: &[
        (Is::Inquiry, On::ChargeBack, Is::Open),
        (Is::Inquiry, On::Dismiss, Is::Dismissed),
        (Is::Open, On::Win, Is::Won),
        (Is::Open, On::Lose, Is::Lost),
        // Banks think again.
        (Is::Lost, On::Win, Is::Won),
    ],
};

/// A payer's bank takes back what came, or asks about it.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Dispute {
    pub payment: PaymentId,
    pub user: UserId,
    /// The id of what was paid for.
    pub payable: Option<String>,
    pub gateway: GatewayId,
    /// The gateway's own. Two disputes of a gateway never have the same.
    pub reference: Option<String>,
    /// What the bank wants.
    pub claimed: Amount,
    /// What is taken back: what the bank wants, as far as it did not go back already. Invariant: <= claimed.
    pub amount: Amount,
    pub reason: String,
    /// The entry that took it back. Invariant: there once open or lost.
    pub entry: Option<EntryId>,
    /// The entry that booked it back. Invariant: there once won, if there was an entry.
    pub reversal: Option<EntryId>,
    /// What its user sees of it.
    pub transaction: Option<TransactionId>,
    pub history: History<DisputeStatus>,
    pub stamp: Stamp,
}
row!(Dispute);
stamped!(Dispute);

impl Dispute {
    pub fn status(&self) -> DisputeStatus {
        self.history.status()
    }

    /// Whether the money is away.
    pub fn takes(&self) -> bool {
        matches!(self.status(), Is::Open | Is::Lost)
    }
}

/// What leads from where a dispute is to where the gateway says it is. Late words lead nowhere.
pub fn way(from: DisputeStatus, to: DisputeStatus) -> &'static [DisputeEvent] {
    match (from, to) {
        (Is::Inquiry, Is::Open) => &[On::ChargeBack],
        (Is::Inquiry, Is::Lost) => &[On::ChargeBack, On::Lose],
        (Is::Inquiry, Is::Won | Is::Dismissed) => &[On::Dismiss],
        (Is::Open, Is::Lost) => &[On::Lose],
        (Is::Open | Is::Lost, Is::Won | Is::Dismissed) => &[On::Win],
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
                payment: PaymentId::from_bytes([2; 16]),
                user: UserId::from_bytes([1; 16]),
                payable: Some("fnd_1".into()),
                gateway: GatewayId::from_bytes([4; 16]),
                reference: Some("dp_1".into()),
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
