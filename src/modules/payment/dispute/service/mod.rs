//! What becomes of disputes, whoever tells: the gateway (`hear`) or a person; and what is booked of them (`book`).

mod book;
mod hear;

use super::{
    events::{DisputeDismissed, DisputeInquired, DisputeLost, DisputeUnbooked, DisputeWon},
    model::{DISPUTE, Dispute, DisputeEvent, Source},
    repository::{BY_EXTERNAL_ID, DISPUTES, load, of_payment, of_reference},
    routes::{DisputeIn, DisputeOut},
};
use crate::{
    kernel::{
        api::{
            call::{Call, Caller, found},
            input::{Metadata, Named as _},
            object::{ExternalId, Stamp, check_external_id, save},
            principal::{Actor, ClientId},
            text::ReasonIn,
        },
        error::{Result, fault},
        machine::{History, Step},
        money::Amount,
        store::{ReadTx, WriteTx},
    },
    modules::payment::{
        contract::{DisputeId, DisputeStatus, GatewayId, PaymentRefusal, PaymentStatus, Review},
        events::PaymentConflicted,
        model::Place,
        repository::{SETTLEMENTS, SETTLEMENTS_BY_ID},
        service::{Case, Payments, credited},
    },
};

/// A dispute to be noted.
struct New<'a> {
    gateway: GatewayId,
    charge: Option<String>,
    source: Source,
    reference: Option<String>,
    noted: Option<String>,
    claimed: Amount,
    reason: String,
    external_id: Option<&'a ExternalId>,
    metadata: &'a Metadata,
}

impl Payments {
    /// A person says that a bank took money back. When the gateway told of it already, what the person knows of it is
    /// noted there, and nothing is booked again.
    ///
    /// Refuses, in this order: `not_found`, what is wrong with the amount, `not_disputable`, `self_approval`,
    /// `external_id_taken`, `reference_used`, `payment_disputed`, `dispute_too_large`.
    pub fn record_dispute(&self, tx: &mut WriteTx, call: &Call<(), DisputeIn>) -> Result<DisputeOut> {
        let (caller, input) = (&call.caller, &call.input);
        let mut case = Case::load(tx, caller.client()?, input.payment_id)?;
        let amount = input.amount.positive("amount", case.payment.amount.currency())?;
        let (source, gateway, most) = self.disputable(tx, &case, input)?;
        self.check_not_own(tx, caller, &case)?;
        check_external_id(tx, &DISPUTES, BY_EXTERNAL_ID, case.client, input.external_id.as_ref())?;
        let noted = input.reference.as_ref().map(String::from);
        if let Some(noted) = &noted
            && let Some((id, known)) = of_reference(tx, case.client, gateway, noted)?
        {
            return match known.payment {
                Some(payment_id) => Err(PaymentRefusal::ReferenceUsed { payment_id }.into()),
                None => self.find_payment(tx, caller, &mut case, (id, known), (amount, source), input),
            };
        }
        if !input.separate.unwrap_or(false)
            && let Some((id, known)) = undecided(tx, &case, source)?
        {
            let known = self.join(tx, caller, &mut case, (id, known), (amount, noted), input)?;
            return Ok(DisputeOut::of(id, &known));
        }
        if amount > most {
            return Err(PaymentRefusal::DisputeTooLarge { remaining: most }.into());
        }

        let new = New {
            gateway,
            charge: None,
            source,
            reference: None,
            noted,
            claimed: amount,
            reason: String::from(&input.reason),
            external_id: input.external_id.as_ref(),
            metadata: &input.metadata,
        };
        let (id, dispute) = self.note_dispute(tx, caller, &mut case, new, DisputeStatus::Open)?;
        Ok(DisputeOut::of(id, &dispute))
    }

    /// A person says that the bank gave the money back. Refuses `not_found`, `self_approval`,
    /// `invalid_state_transition`.
    pub fn win_dispute(&self, tx: &mut WriteTx, call: &Call<DisputeId, ReasonIn>) -> Result<DisputeOut> {
        self.decide_dispute(tx, call, DisputeEvent::Win)
    }

    /// A person says that the bank keeps it. Refuses as above.
    pub fn lose_dispute(&self, tx: &mut WriteTx, call: &Call<DisputeId, ReasonIn>) -> Result<DisputeOut> {
        self.decide_dispute(tx, call, DisputeEvent::Lose)
    }

    /// A person says that it was a question only, or about nothing of ours. Refuses as above.
    pub fn dismiss_dispute(&self, tx: &mut WriteTx, call: &Call<DisputeId, ReasonIn>) -> Result<DisputeOut> {
        self.decide_dispute(tx, call, DisputeEvent::Dismiss)
    }

    pub fn show_dispute(&self, tx: &ReadTx, call: &Call<DisputeId>) -> Result<DisputeOut> {
        let dispute = load(tx, call.caller.client()?, call.path)?;
        call.caller.may_reach(dispute.user)?;
        Ok(DisputeOut::of(call.path, &dispute))
    }

    /// Where the money is, through which gateway it came, and how much a bank can take of it at most. Refuses
    /// `not_found`, `not_disputable`.
    fn disputable(&self, tx: &ReadTx, case: &Case, input: &DisputeIn) -> Result<(Source, GatewayId, Amount)> {
        let refused = |reason: &str| PaymentRefusal::NotDisputable { reason: reason.to_owned() };
        if let Some(settlement) = input.settlement_id {
            let (key, item) = found(tx.find(&SETTLEMENTS, SETTLEMENTS_BY_ID, &(case.client, settlement))?)?;
            let source = match item.place {
                _ if key.1 != case.id => return found(None),
                Place::Suspense | Place::Refunding => Source::Suspense(settlement),
                Place::Assigned => Source::Assigned(settlement),
                place => return Err(refused(place.name()).into()),
            };
            return Ok((source, item.gateway, item.amount));
        }
        if case.payment.status() != PaymentStatus::Settled {
            return Err(refused(case.payment.status().name()).into());
        }
        if case.payment.user.is_none() {
            return Err(refused("it is no user's").into());
        }
        let (_, came) = credited(tx, case)?.ok_or_else(|| fault!("{} settled without money", case.id))?;
        // What is to be refunded has not gone yet: the bank may be faster.
        let waiting = self.open_refunds(tx, case, Source::Payment)?;
        let waiting = waiting
            .iter()
            .try_fold(Amount::zero(case.payment.amount.currency()), |sum, it| sum.plus(it.1.amount))?;
        Ok((Source::Payment, came.gateway, case.payment.refundable()?.plus(waiting)?))
    }

    /// A person notes what is known: what the person says is kept beside it, and an inquiry has become more. Refuses
    /// `payment_disputed` when it cannot be the same one.
    fn join(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        case: &mut Case,
        (id, mut known): (DisputeId, Dispute),
        (amount, noted): (Amount, Option<String>),
        input: &DisputeIn,
    ) -> Result<Dispute> {
        let is_named_otherwise = known.stamp.external_id.is_some() && input.external_id.is_some();
        let is_noted_otherwise = known.noted.is_some() && noted.is_some();
        if known.claimed != amount || is_noted_otherwise || is_named_otherwise {
            return Err(PaymentRefusal::PaymentDisputed { dispute_id: id }.into());
        }
        let external_id = input.external_id.as_ref().map(|it| it.0.clone());
        known.noted = noted.or(known.noted);
        known.stamp.external_id = external_id.or(known.stamp.external_id);
        known.stamp.metadata.0.extend(input.metadata.0.clone());
        save(tx, &DISPUTES, &(case.client, id), &mut known)?;
        if known.status() == DisputeStatus::Inquiry {
            let (of, event) = ((case.client, Some(case)), DisputeEvent::ChargeBack);
            self.move_dispute(tx, caller, of, (id, &mut known), event, Some(&input.reason))?;
        }
        Ok(known)
    }

    /// A person knows which payment, or which money in suspense, it is about that the gateway told of. Refuses
    /// `payment_disputed` when the gateway told of another amount.
    fn find_payment(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        case: &mut Case,
        (id, mut known): (DisputeId, Dispute),
        (amount, source): (Amount, Source),
        input: &DisputeIn,
    ) -> Result<DisputeOut> {
        if known.claimed != amount {
            return Err(PaymentRefusal::PaymentDisputed { dispute_id: id }.into());
        }
        (known.payment, known.source) = (Some(case.id), source);
        known.stamp.external_id = input.external_id.as_ref().map(|it| it.0.clone());
        known.stamp.metadata.0.extend(input.metadata.0.clone());
        (known.user, known.payable) = (case.payment.user, case.payment.payable.clone());
        save(tx, &DISPUTES, &(case.client, id), &mut known)?;
        if known.status() == DisputeStatus::Inquiry {
            let of = (case.client, Some(&mut *case));
            self.move_dispute(tx, caller, of, (id, &mut known), DisputeEvent::ChargeBack, None)?;
        } else if known.is_unbooked() {
            self.book_waiting(tx, caller, case)?;
        }
        let known = load(tx, case.client, id)?;
        if known.is_unbooked() {
            self.freeze_unbooked(tx, caller, case.client, (id, &known))?;
        }
        Ok(DisputeOut::of(id, &known))
    }

    fn note_dispute(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        case: &mut Case,
        new: New<'_>,
        status: DisputeStatus,
    ) -> Result<(DisputeId, Dispute)> {
        let id: DisputeId = tx.new_id();
        let mut dispute = Dispute {
            payment: Some(case.id),
            user: case.payment.user,
            payable: case.payment.payable.clone(),
            ..new.dispute(tx, caller, status)
        };
        if status == DisputeStatus::Open && !self.book(tx, caller, case, (id, &mut dispute))? {
            dispute.history = History::begin(DisputeStatus::Unbooked, caller, tx.now());
        }
        tx.insert(&DISPUTES, &(case.client, id), &dispute)?;
        match dispute.status() {
            DisputeStatus::Inquiry => tx.publish(caller, &DisputeInquired::of(id, &dispute)).map(drop)?,
            DisputeStatus::Unbooked => self.tell_unbooked(tx, caller, case.client, (id, &dispute))?,
            DisputeStatus::Open => self.tell_opened(tx, caller, case.client, (id, &dispute))?,
            DisputeStatus::Won | DisputeStatus::Lost | DisputeStatus::Dismissed => {}
        }
        Ok((id, dispute))
    }

    fn decide_dispute(
        &self,
        tx: &mut WriteTx,
        call: &Call<DisputeId, ReasonIn>,
        event: DisputeEvent,
    ) -> Result<DisputeOut> {
        let (caller, client) = (&call.caller, call.caller.client()?);
        let mut dispute = load(tx, client, call.path)?;
        if let Some(user) = dispute.user {
            self.clients.check_other(tx, client, caller, Actor::User(user))?;
        }
        let mut case = dispute.payment.map(|it| Case::load(tx, client, it)).transpose()?;
        let reason = Some(&*call.input.reason);
        self.move_dispute(tx, caller, (client, case.as_mut()), (call.path, &mut dispute), event, reason)?;
        Ok(DisputeOut::of(call.path, &dispute))
    }

    /// Moves a dispute, and its money with it. What cannot be booked yet waits: nothing is refused for it. Refuses
    /// `invalid_state_transition`.
    fn move_dispute(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        (client, mut case): (ClientId, Option<&mut Case>),
        (id, dispute): (DisputeId, &mut Dispute),
        event: DisputeEvent,
        reason: Option<&str>,
    ) -> Result<()> {
        let mut event = event;
        let was_unbooked = dispute.status() == DisputeStatus::Unbooked;
        if event == DisputeEvent::ChargeBack || event == DisputeEvent::Lose && was_unbooked {
            let is_booked = match &mut case {
                Some(case) => {
                    if event == DisputeEvent::Lose {
                        self.make_room(tx, caller, case, dispute)?;
                    }
                    self.book(tx, caller, case, (id, dispute))?
                }
                None => false,
            };
            match event {
                DisputeEvent::Lose if is_booked => {
                    let charged = DisputeEvent::ChargeBack;
                    dispute.history.step(&DISPUTE, charged, caller, reason, tx.now())?;
                    self.tell_opened(tx, caller, client, (id, dispute))?;
                }
                DisputeEvent::ChargeBack if !is_booked && was_unbooked => return Ok(()),
                DisputeEvent::ChargeBack if !is_booked => event = DisputeEvent::Await,
                _ => {}
            }
        }
        if dispute.history.step(&DISPUTE, event, caller, reason, tx.now())? == Step::Repeated {
            return Ok(());
        }

        match (event, case) {
            (DisputeEvent::Win, Some(case)) => self.give_back(tx, case, id, dispute)?,
            (DisputeEvent::Await, _) => dispute.amount = Amount::zero(dispute.claimed.currency()),
            _ => {}
        }
        save(tx, &DISPUTES, &(client, id), dispute)?;
        match event {
            DisputeEvent::ChargeBack => self.tell_opened(tx, caller, client, (id, dispute)),
            DisputeEvent::Await => self.tell_unbooked(tx, caller, client, (id, dispute)),
            DisputeEvent::Win => tx.publish(caller, &DisputeWon::of(id, dispute)).map(drop),
            DisputeEvent::Lose => tx.publish(caller, &DisputeLost::of(id, dispute)).map(drop),
            DisputeEvent::Dismiss => tx.publish(caller, &DisputeDismissed::of(id, dispute)).map(drop),
        }
    }

    /// Tells that money was taken that is not booked, and stops whoever it is about from paying out.
    fn tell_unbooked(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        (id, dispute): (DisputeId, &Dispute),
    ) -> Result<()> {
        tx.publish(caller, &DisputeUnbooked::of(id, dispute))?;
        self.freeze_unbooked(tx, caller, client, (id, dispute))
    }

    fn freeze_unbooked(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        (id, dispute): (DisputeId, &Dispute),
    ) -> Result<()> {
        self.freeze_over(tx, caller, client, (id, dispute), dispute.claimed, ", not booked yet")
    }

    /// The same of money that a bank took and the books could not follow: its user pays nothing out meanwhile.
    fn leave_to_a_person_frozen(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        case: &mut Case,
        reason: String,
    ) -> Result<()> {
        self.leave_to_a_person(tx, caller, case, reason.clone())?;
        match case.payment.user {
            Some(user) => self.users.freeze(tx, caller, case.client, user, &reason).map(drop),
            None => Ok(()),
        }
    }

    /// What cannot be booked as the gateway says it: the payment asks for a person, once for the same words. Before its
    /// end a payment is asked for in another way: the dispute is seen, and is looked at again when it settles.
    fn leave_to_a_person(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        case: &mut Case,
        reason: String,
    ) -> Result<()> {
        if !case.payment.is_over() || case.payment.last_error.as_ref() == Some(&reason) {
            return Ok(());
        }
        if case.payment.review == Review::None {
            case.payment.review = Review::Needed;
        }
        case.payment.last_error = Some(reason.clone());
        case.save(tx)?;
        tx.publish(caller, &PaymentConflicted::of(case.id, &case.payment, Some(reason))).map(drop)
    }
}

impl New<'_> {
    /// Of nobody yet, and not booked.
    fn dispute(self, tx: &WriteTx, caller: &Caller, status: DisputeStatus) -> Dispute {
        let nothing = Amount::zero(self.claimed.currency());
        let is_unbooked = matches!(status, DisputeStatus::Open | DisputeStatus::Unbooked);
        Dispute {
            payment: None,
            user: None,
            payable: None,
            gateway: self.gateway,
            charge: self.charge,
            source: self.source,
            reference: self.reference,
            noted: self.noted,
            claimed: self.claimed,
            amount: if is_unbooked { nothing } else { self.claimed },
            reason: self.reason,
            entry: None,
            reversal: None,
            transaction: None,
            history: History::begin(status, caller, tx.now()),
            stamp: Stamp::new(tx, self.external_id, self.metadata),
        }
    }
}

/// A dispute about this money that is not over.
fn undecided(tx: &ReadTx, case: &Case, source: Source) -> Result<Option<(DisputeId, Dispute)>> {
    let mut known = of_payment(tx, case.client, case.id)?.into_iter();
    Ok(known.find(|(_, it)| it.source == source && it.is_undecided()))
}
