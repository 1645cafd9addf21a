//! What becomes of disputes, whoever tells: the gateway or a person.

use super::{
    events::{DisputeDismissed, DisputeInquired, DisputeLost, DisputeOpened, DisputeWon},
    model::{DISPUTE, Dispute, DisputeEvent, way},
    repository::{BY_EXTERNAL_ID, BY_PAYMENT, BY_REFERENCE, DISPUTES, load},
    routes::{DisputeIn, DisputeOut},
};
use crate::{
    kernel::{
        api::{
            call::{Call, Caller},
            input::{Metadata, Named as _},
            object::{ExternalId, Stamp, check_external_id, save},
            principal::{Actor, ClientId},
            text::ReasonIn,
        },
        error::{Result, fault},
        id::Id as _,
        machine::{History, Step},
        money::Amount,
        store::{ReadTx, Scan, WriteTx},
    },
    modules::{
        balance::contract::{Account, HouseAccount, Line, NewEntry, UserAccount},
        category::contract::built_in,
        payment::{
            contract::{
                DisputeId, DisputeStatus, GatewayId, PaymentId, PaymentRefusal, PaymentStatus, Review,
            },
            events::PaymentConflicted,
            inbound::DisputeWord,
            service::{Case, Payments, credited},
        },
        transaction::contract::{EntryType, NewTransaction, TransactionStatus},
    },
};

/// A dispute to be noted.
struct New<'a> {
    gateway: GatewayId,
    reference: Option<String>,
    claimed: Amount,
    reason: String,
    external_id: Option<&'a ExternalId>,
    metadata: &'a Metadata,
}

impl Payments {
    /// A person says that a bank took money back.
    ///
    /// Refuses, in this order: `not_found`, what is wrong with the amount, `not_disputable`, `self_approval`,
    /// `external_id_taken`, `reference_used`, `dispute_too_large`.
    pub fn record_dispute(&self, tx: &mut WriteTx, call: &Call<(), DisputeIn>) -> Result<DisputeOut> {
        let (caller, input) = (&call.caller, &call.input);
        let mut case = Case::load(tx, caller.client()?, input.payment_id)?;
        let amount = input.amount.positive("amount", case.payment.amount.currency())?;
        check_disputable(&case)?;
        self.check_not_own(tx, caller, &case)?;
        check_external_id(tx, &DISPUTES, BY_EXTERNAL_ID, case.client, input.external_id.as_ref())?;
        let (_, came) = credited(tx, &case)?.ok_or_else(|| fault!("{} settled without money", case.id))?;
        let reference = input.reference.as_ref().map(String::from);
        if let Some(reference) = &reference
            && let Some((_, known)) = of_reference(tx, case.client, came.gateway, reference)?
        {
            return Err(PaymentRefusal::ReferenceUsed { payment_id: known.payment }.into());
        }
        let remaining = case.payment.refundable()?;
        if amount > remaining {
            return Err(PaymentRefusal::DisputeTooLarge { remaining }.into());
        }

        let new = New {
            gateway: came.gateway,
            reference,
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

    pub fn show_dispute(&self, tx: &ReadTx, call: &Call<DisputeId>) -> Result<DisputeOut> {
        let dispute = load(tx, call.caller.client()?, call.path)?;
        call.caller.may_reach(Some(dispute.user))?;
        Ok(DisputeOut::of(call.path, &dispute))
    }

    /// The gateway tells where a dispute about `payment` stands. Words may come late, twice, or in another order; what
    /// cannot be booked as the gateway says it is left to a person.
    pub fn hear_dispute(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        (client, gateway): (ClientId, GatewayId),
        payment: PaymentId,
        word: DisputeWord,
    ) -> Result<()> {
        let mut case = Case::load(tx, client, payment)?;
        let claimed = word.amount.like(case.payment.amount.currency());
        let claimed = claimed.ok().filter(|it| it.currency() == case.payment.amount.currency());
        if let Some((_, other)) =
            of_reference(tx, client, gateway, &word.id)?.filter(|it| it.1.payment != payment)
        {
            let reason = format!("{} was noted on {}, the gateway means this one", word.id, other.payment);
            return self.leave_to_a_person_frozen(tx, caller, &mut case, reason);
        }
        let known = known(tx, (client, gateway), payment, &word.id, claimed)?;
        let Some(claimed) = claimed.filter(|it| !it.is_zero()) else {
            let found = word.amount;
            let reason = format!("{} disputes {} minor units of {}", word.id, found.minor, found.code);
            return self.leave_to_a_person(tx, caller, &mut case, reason);
        };
        let Some((id, mut dispute)) = known else {
            return self.hear_of_dispute(tx, caller, &mut case, gateway, claimed, word);
        };
        if dispute.reference.is_none() {
            dispute.reference = Some(word.id.clone());
            save(tx, &DISPUTES, &(client, id), &mut dispute)?;
        }
        if dispute.claimed != claimed {
            let reason = format!("{} disputes {claimed}, it was {} before", word.id, dispute.claimed);
            self.leave_to_a_person(tx, caller, &mut case, reason)?;
        }
        if (dispute.status(), word.status) == (DisputeStatus::Won, DisputeStatus::Lost)
            && dispute.entry.is_some()
        {
            let reason = format!("{id} is won here, and lost says the gateway");
            return self.leave_to_a_person_frozen(tx, caller, &mut case, reason);
        }
        for event in way(dispute.status(), word.status) {
            self.move_dispute(tx, caller, &mut case, (id, &mut dispute), *event, None)?;
            if dispute.status() == DisputeStatus::Inquiry {
                break; // There was nothing to book: a person has been asked.
            }
        }
        Ok(())
    }

    /// A dispute nobody has heard of before.
    fn hear_of_dispute(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        case: &mut Case,
        gateway: GatewayId,
        claimed: Amount,
        word: DisputeWord,
    ) -> Result<()> {
        let takes = matches!(word.status, DisputeStatus::Open | DisputeStatus::Lost);
        let remaining = case.payment.refundable()?;
        let is_disputable = check_disputable(case).is_ok();
        if takes && (!is_disputable || claimed > remaining) {
            let reason = format!("{} takes {claimed} back, {remaining} of it can be charged", word.id);
            self.leave_to_a_person_frozen(tx, caller, case, reason)?;
        }
        if !is_disputable || takes && remaining.is_zero() {
            return Ok(());
        }
        let metadata = Metadata::default();
        let new = New {
            gateway,
            reference: Some(word.id),
            claimed,
            reason: word.reason,
            external_id: None,
            metadata: &metadata,
        };
        let first = if takes { DisputeStatus::Open } else { word.status };
        let (id, mut dispute) = self.note_dispute(tx, caller, case, new, first)?;
        if word.status == DisputeStatus::Lost {
            self.move_dispute(tx, caller, case, (id, &mut dispute), DisputeEvent::Lose, None)?;
        }
        Ok(())
    }

    fn note_dispute(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        case: &mut Case,
        new: New<'_>,
        status: DisputeStatus,
    ) -> Result<(DisputeId, Dispute)> {
        let user = case.payment.user.ok_or_else(|| fault!("{} is no user's", case.id))?;
        let id: DisputeId = tx.new_id();
        let mut dispute = Dispute {
            payment: case.id,
            user,
            payable: case.payment.payable.clone(),
            gateway: new.gateway,
            reference: new.reference,
            claimed: new.claimed,
            amount: new.claimed,
            reason: new.reason,
            entry: None,
            reversal: None,
            transaction: None,
            history: History::begin(status, caller, tx.now()),
            stamp: Stamp::new(tx, new.external_id, new.metadata),
        };
        if status == DisputeStatus::Open {
            self.take_back(tx, caller, case, id, &mut dispute)?;
        }
        tx.insert(&DISPUTES, &(case.client, id), &dispute)?;
        match status {
            DisputeStatus::Inquiry => tx.publish(caller, &DisputeInquired::of(id, &dispute)).map(drop)?,
            DisputeStatus::Open => self.tell_opened(tx, caller, case, id, &dispute)?,
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
        self.clients.check_other(tx, client, caller, Actor::User(dispute.user))?;
        let mut case = Case::load(tx, client, dispute.payment)?;
        let reason = Some(&*call.input.reason);
        self.move_dispute(tx, caller, &mut case, (call.path, &mut dispute), event, reason)?;
        Ok(DisputeOut::of(call.path, &dispute))
    }

    /// Moves a dispute, and its money with it. Refuses `invalid_state_transition`.
    fn move_dispute(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        case: &mut Case,
        (id, dispute): (DisputeId, &mut Dispute),
        event: DisputeEvent,
        reason: Option<&str>,
    ) -> Result<()> {
        if event == DisputeEvent::ChargeBack {
            let remaining = case.payment.refundable()?;
            if dispute.claimed > remaining {
                let reason = format!("{id} takes {} back, {remaining} of it can be charged", dispute.claimed);
                self.leave_to_a_person_frozen(tx, caller, case, reason)?;
            }
            if remaining.is_zero() {
                return Ok(()); // It stays an inquiry: there is nothing to book.
            }
        }
        if dispute.history.step(&DISPUTE, event, caller, reason, tx.now())? == Step::Repeated {
            return Ok(());
        }

        match event {
            DisputeEvent::ChargeBack => self.take_back(tx, caller, case, id, dispute)?,
            DisputeEvent::Win => self.give_back(tx, case, id, dispute)?,
            DisputeEvent::Lose | DisputeEvent::Dismiss => {}
        }
        save(tx, &DISPUTES, &(case.client, id), dispute)?;
        match event {
            DisputeEvent::ChargeBack => self.tell_opened(tx, caller, case, id, dispute),
            DisputeEvent::Win => tx.publish(caller, &DisputeWon::of(id, dispute)).map(drop),
            DisputeEvent::Lose => tx.publish(caller, &DisputeLost::of(id, dispute)).map(drop),
            DisputeEvent::Dismiss => tx.publish(caller, &DisputeDismissed::of(id, dispute)).map(drop),
        }
    }

    /// available → clearing, whether or not it is there.
    fn take_back(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        case: &mut Case,
        id: DisputeId,
        dispute: &mut Dispute,
    ) -> Result<()> {
        let (client, user) = (case.client, dispute.user);
        let remaining = case.payment.refundable()?;
        dispute.amount = if dispute.claimed > remaining { remaining } else { dispute.claimed };
        let amount = dispute.amount;
        let (available, clearing) = accounts(dispute);
        let lines = [Line::lower(available, amount), Line::raise(clearing, amount)];
        let entry =
            NewEntry { cause: id.to_string(), description: "Chargeback", lines: &lines, reverses: None };
        let posted = self.balance.charge_back(tx, client, entry)?;
        let balance_after = self.balance.balances(tx, client, user, amount.currency())?.available;
        let record = NewTransaction {
            user,
            entry_type: EntryType::Debit,
            amount,
            balance_after,
            status: TransactionStatus::Completed,
            category: built_in::REFUND,
            narration: "Chargeback",
            cause: id.to_string(),
            entry: posted.id,
        };
        dispute.entry = Some(posted.id);
        dispute.transaction = Some(self.transactions.record(tx, caller, client, record)?);
        case.payment.disputed = case.payment.disputed.plus(amount)?;
        case.save(tx)
    }

    /// Tells that money was taken back, and stops its user from paying out.
    fn tell_opened(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        case: &Case,
        id: DisputeId,
        dispute: &Dispute,
    ) -> Result<()> {
        tx.publish(caller, &DisputeOpened::of(id, dispute))?;
        let reason = format!("The bank took back {} of {} ({id})", dispute.amount, case.id);
        self.users.freeze(tx, caller, case.client, dispute.user, &reason).map(drop)
    }

    /// clearing → available: the first entry taken back. Nothing was booked of a dispute that was over when it was told.
    fn give_back(
        &self,
        tx: &mut WriteTx,
        case: &mut Case,
        id: DisputeId,
        dispute: &mut Dispute,
    ) -> Result<()> {
        let Some(entry) = dispute.entry else { return Ok(()) };
        let (available, clearing) = accounts(dispute);
        let lines = [Line::lower(clearing, dispute.amount), Line::raise(available, dispute.amount)];
        let back = NewEntry {
            cause: id.to_string(),
            description: "Chargeback, won",
            lines: &lines,
            reverses: Some(entry),
        };
        let posted = self.balance.post(tx, case.client, back)?;
        dispute.reversal = Some(posted.id);
        if let Some(transaction) = dispute.transaction {
            let status = TransactionStatus::Reversed;
            self.transactions.follow(tx, case.client, transaction, status, posted.id)?;
        }
        case.payment.disputed = case.payment.disputed.minus(dispute.amount)?;
        case.save(tx)
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

    /// What cannot be booked as the gateway says it: the payment asks for a person, once for the same words.
    fn leave_to_a_person(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        case: &mut Case,
        reason: String,
    ) -> Result<()> {
        if case.payment.last_error.as_ref() == Some(&reason) {
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

/// Whose money is taken, and where it goes.
fn accounts(dispute: &Dispute) -> (Account, Account) {
    let currency = dispute.amount.currency();
    let clearing = HouseAccount::Clearing(dispute.gateway.bytes());
    (Account::user(dispute.user, UserAccount::Available, currency), Account::house(clearing, currency))
}

/// Refuses `not_disputable`.
fn check_disputable(case: &Case) -> Result<()> {
    let reason = match case.payment.status() {
        PaymentStatus::Settled if case.payment.user.is_none() => "it is no user's",
        PaymentStatus::Settled => return Ok(()),
        status => status.name(),
    };
    Err(PaymentRefusal::NotDisputable { reason: reason.to_owned() }.into())
}

fn of_reference(
    tx: &ReadTx,
    client: ClientId,
    gateway: GatewayId,
    reference: &str,
) -> Result<Option<(DisputeId, Dispute)>> {
    let found = tx.find(&DISPUTES, BY_REFERENCE, &(client, gateway, reference.to_owned()))?;
    Ok(found.map(|((_, id), row)| (id, row)))
}

/// The dispute a gateway speaks of: by its reference, or what a person noted of it before the gateway told.
fn known(
    tx: &ReadTx,
    (client, gateway): (ClientId, GatewayId),
    payment: PaymentId,
    reference: &str,
    claimed: Option<Amount>,
) -> Result<Option<(DisputeId, Dispute)>> {
    if let Some(known) = of_reference(tx, client, gateway, reference)? {
        return Ok(Some(known));
    }
    for row in tx.scan_index(&DISPUTES, BY_PAYMENT, Scan::prefix(&(client, payment))) {
        let ((_, id), row) = row?;
        if row.gateway == gateway && row.reference.is_none() && Some(row.claimed) == claimed {
            return Ok(Some((id, row)));
        }
    }
    Ok(None)
}
