//! What gateways tell of disputes. Words come late, twice, in another order, and before the money they are about; what
//! cannot be booked as the gateway says it is left to a person.

use super::{
    super::{
        events::{DisputeInquired, DisputeUnbooked},
        model::{Dispute, DisputeEvent, Source, way},
        repository::{DISPUTES, of_payment, of_reference},
    },
    New,
};
use crate::{
    kernel::{
        api::{call::Caller, input::Metadata, object::save, principal::ClientId},
        error::Result,
        money::{Amount, Currency},
        store::{ReadTx, WriteTx},
    },
    modules::payment::{
        contract::{DisputeId, DisputeStatus, GatewayId},
        inbound::DisputeWord,
        service::{Case, Payments, attempt_of_reference, item_of_reference},
    },
};

impl Payments {
    /// The gateway tells where a dispute stands.
    pub fn hear_dispute(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        (client, gateway): (ClientId, GatewayId),
        word: DisputeWord,
    ) -> Result<()> {
        let mut case = disputed(tx, client, gateway, &word.charge)?;
        let mut known = of_reference(tx, client, gateway, &word.id)?;
        if let Some(noted_on) = known.as_ref().and_then(|it| it.1.payment) {
            match &mut case {
                Some(case) if case.id != noted_on => {
                    let reason = format!("{} was noted on {noted_on}, the gateway means this one", word.id);
                    return self.leave_to_a_person_frozen(tx, caller, case, reason);
                }
                Some(_) => {}
                None => case = Some(Case::load(tx, client, noted_on)?),
            }
        }
        let currency = match &case {
            Some(case) => Some(case.payment.amount.currency()),
            None => self.currency_of(tx, client, &word)?,
        };
        let Some(currency) = currency else {
            let code = word.amount.code;
            tracing::warn!(gateway.id = %gateway, "{} of {gateway} is about {code}, which the client does not use", word.id);
            return Ok(());
        };
        let claimed = word.amount.like(currency).ok();
        let claimed = claimed.filter(|it| it.currency() == currency && !it.is_zero());
        if let (None, Some(case)) = (&known, &case) {
            known = noted_by_hand(tx, case, gateway, claimed, word.status)?;
        }
        match (known, case) {
            (Some(known), case) => self.hear_again(tx, caller, (client, case), known, claimed, word),
            (None, Some(case)) => self.hear_first(tx, caller, case, gateway, claimed, word),
            (None, None) => self.keep_for_later(tx, caller, (client, gateway), claimed, word),
        }
    }

    /// Of a dispute about money nobody knows of. A gateway's account that others use as well may tell of currencies the
    /// client does not have: that money is not the client's.
    fn currency_of(&self, tx: &ReadTx, client: ClientId, word: &DisputeWord) -> Result<Option<Currency>> {
        match self.currencies.active(tx, client, word.amount.code) {
            Ok(currency) => Ok(Some(currency)),
            Err(refused) if refused.code().is_some() => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    fn hear_again(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        (client, mut case): (ClientId, Option<Case>),
        (id, mut dispute): (DisputeId, Dispute),
        claimed: Option<Amount>,
        word: DisputeWord,
    ) -> Result<()> {
        let before = dispute.clone();
        dispute.reference = dispute.reference.or_else(|| Some(word.id.clone()));
        dispute.charge = dispute.charge.or_else(|| Some(word.charge.clone()));
        if let Some(case) = case.as_ref().filter(|_| before.payment.is_none()) {
            dispute.payment = Some(case.id);
            (dispute.user, dispute.payable) = (case.payment.user, case.payment.payable.clone());
        }
        let is_free = matches!(dispute.status(), DisputeStatus::Inquiry | DisputeStatus::Unbooked);
        let is_changed = claimed.is_some_and(|it| it != before.claimed);
        if let Some(claimed) = claimed.filter(|_| is_free) {
            let is_inquiry = dispute.status() == DisputeStatus::Inquiry;
            dispute.amount = if is_inquiry { claimed } else { dispute.amount };
            dispute.claimed = claimed;
        }
        if dispute != before {
            save(tx, &DISPUTES, &(client, id), &mut dispute)?;
        }
        if let Some(case) = &mut case {
            let Some(claimed) = claimed else {
                return self.leave_to_a_person(tx, caller, case, unclear(&word));
            };
            if is_changed && !is_free {
                let reason = format!("{} disputes {claimed}, it was {} before", word.id, before.claimed);
                self.leave_to_a_person(tx, caller, case, reason)?;
            }
            if (dispute.status(), word.status) == (DisputeStatus::Won, DisputeStatus::Lost)
                && dispute.entry.is_some()
            {
                let reason = format!("{id} is won here, and lost says the gateway");
                return self.leave_to_a_person_frozen(tx, caller, case, reason);
            }
        }
        for event in way(dispute.status(), word.status) {
            let of = (client, case.as_mut());
            self.move_dispute(tx, caller, of, (id, &mut dispute), *event, None)?;
        }
        Ok(())
    }

    /// A dispute nobody has heard of before.
    fn hear_first(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        mut case: Case,
        gateway: GatewayId,
        claimed: Option<Amount>,
        word: DisputeWord,
    ) -> Result<()> {
        let is_lost = word.status == DisputeStatus::Lost;
        let (claimed, reason) = match claimed {
            Some(claimed) => (claimed, word.reason.clone()),
            None => (Amount::zero(case.payment.amount.currency()), unclear(&word)),
        };
        let metadata = Metadata::default();
        let new = New::told(gateway, &word, claimed, reason, &metadata);
        let first = if is_lost { DisputeStatus::Open } else { word.status };
        let (id, mut dispute) = self.note_dispute(tx, caller, &mut case, new, first)?;
        if is_lost {
            let of = (case.client, Some(&mut case));
            self.move_dispute(tx, caller, of, (id, &mut dispute), DisputeEvent::Lose, None)?;
        }
        Ok(())
    }

    /// Nobody knows the money yet: the dispute waits for it, and is seen meanwhile.
    fn keep_for_later(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        (client, gateway): (ClientId, GatewayId),
        claimed: Option<Amount>,
        word: DisputeWord,
    ) -> Result<()> {
        let (Some(claimed), false) =
            (claimed, matches!(word.status, DisputeStatus::Won | DisputeStatus::Dismissed))
        else {
            return Ok(());
        };
        let (metadata, reason) = (Metadata::default(), word.reason.clone());
        let is_inquiry = word.status == DisputeStatus::Inquiry;
        let first = if is_inquiry { DisputeStatus::Inquiry } else { DisputeStatus::Unbooked };
        let new = New::told(gateway, &word, claimed, reason, &metadata);
        let (id, mut dispute): (DisputeId, Dispute) = (tx.new_id(), new.dispute(tx, caller, first));
        tx.insert(&DISPUTES, &(client, id), &dispute)?;
        match is_inquiry {
            true => tx.publish(caller, &DisputeInquired::of(id, &dispute))?,
            false => tx.publish(caller, &DisputeUnbooked::of(id, &dispute))?,
        };
        if word.status == DisputeStatus::Lost {
            let lose = DisputeEvent::Lose;
            self.move_dispute(tx, caller, (client, None), (id, &mut dispute), lose, None)?;
        }
        Ok(())
    }
}

impl<'a> New<'a> {
    fn told(
        gateway: GatewayId,
        word: &DisputeWord,
        claimed: Amount,
        reason: String,
        metadata: &'a Metadata,
    ) -> New<'a> {
        New {
            gateway,
            charge: Some(word.charge.clone()),
            source: Source::Payment,
            reference: Some(word.id.clone()),
            noted: None,
            claimed,
            reason,
            external_id: None,
            metadata,
        }
    }
}

fn unclear(word: &DisputeWord) -> String {
    format!("{} disputes {} minor units of {}", word.id, word.amount.minor, word.amount.code)
}

/// The payment a dispute is about: the one its money was counted for, or else the one whose attempt it was to pay.
fn disputed(tx: &ReadTx, client: ClientId, gateway: GatewayId, charge: &str) -> Result<Option<Case>> {
    let payment = match item_of_reference(tx, client, gateway, charge)? {
        Some(((_, payment, _), _)) => Some(payment),
        None => attempt_of_reference(tx, client, gateway, charge)?.map(|it| it.0),
    };
    payment.map(|it| Case::load(tx, client, it)).transpose()
}

/// What a person noted of it before the gateway told: of the same amount, or else what is not over. What the gateway
/// told of under another reference is another one; and so is what it says has begun, when what a person noted came to
/// nothing.
fn noted_by_hand(
    tx: &ReadTx,
    case: &Case,
    gateway: GatewayId,
    claimed: Option<Amount>,
    says: DisputeStatus,
) -> Result<Option<(DisputeId, Dispute)>> {
    let begins = matches!(says, DisputeStatus::Inquiry | DisputeStatus::Open);
    let mut noted = of_payment(tx, case.client, case.id)?;
    noted.retain(|(_, it)| {
        let came_to_nothing = matches!(it.status(), DisputeStatus::Won | DisputeStatus::Dismissed);
        it.gateway == gateway && it.reference.is_none() && !(begins && came_to_nothing)
    });
    let same = noted.iter().position(|(_, it)| Some(it.claimed) == claimed);
    let place = same.or_else(|| noted.iter().position(|(_, it)| it.is_undecided()));
    Ok(place.map(|it| noted.swap_remove(it)))
}
