//! What can be done with refunds.

use super::{
    events::{RefundApproved, RefundCanceled, RefundFailed, RefundRequested, RefundSucceeded},
    model::{REFUND, Refund, RefundEvent, Source},
    repository::{BY_EXTERNAL_ID, REFUNDS, load},
    routes::{PaidBackIn, RefundIn, RefundOut},
};
use crate::{
    kernel::{
        api::{
            call::{Call, Caller},
            endpoint::Claim,
            input::Named as _,
            object::{Stamp, check_external_id, save},
            principal::{Actor, ClientId, UserId},
            text::ReasonIn,
        },
        error::{Result, fault},
        events::event::Envelope,
        id::Id as _,
        machine::{History, Step},
        money::Amount,
        store::{ReadTx, WriteTx},
    },
    modules::{
        balance::contract::{Account, HouseAccount, Line, NewEntry},
        category::contract::built_in,
        client::contract::{Approval, ApprovalOperation, ApproveIn, Motion, RejectIn},
        funding::events::FundingReversed,
        payment::{
            adapter::{RefundOutcome, RefundRequest},
            contract::{
                GatewayKind, PaymentRefusal, PaymentStatus, RefundId, RefundStatus, Review, SettlementId,
            },
            dispute::{model::Source as Taken, repository::check_undisputed},
            model::Place,
            repository::{CONVERTED, SETTLEMENTS},
            service::{Case, News, Payments, credited, gateway},
        },
        transaction::contract::{EntryType, NewTransaction, TransactionStatus},
    },
};

/// What a gateway is to be told of a refund, with no transaction open.
#[derive(Debug, Clone)]
pub struct Reaching {
    pub client: ClientId,
    pub id: RefundId,
    pub kind: GatewayKind,
    pub request: RefundRequest,
}

impl Payments {
    /// Sets the money aside and tells the gateway; above the client's limit a second person has to agree first.
    ///
    /// Refuses, in this order: `not_found`, what is wrong with the amount, `not_refundable`, `self_approval`,
    /// `user_not_active`, `external_id_taken`, `payment_disputed`, `refund_too_large`, `insufficient_funds`.
    pub fn request_refund(
        &self,
        tx: &mut WriteTx,
        call: &Call<(), RefundIn>,
    ) -> Result<Claim<Reaching, RefundOut>> {
        let (caller, input) = (&call.caller, &call.input);
        let mut case = Case::load(tx, caller.client()?, input.payment_id)?;
        let client = case.client;
        let amount = input.amount.positive("amount", case.payment.amount.currency())?;
        let not_refundable = |reason: &str| PaymentRefusal::NotRefundable { reason: reason.to_owned() };
        if case.payment.status() != PaymentStatus::Settled {
            return Err(not_refundable(case.payment.status().name()).into());
        }
        let user = case.payment.user.ok_or_else(|| not_refundable("it is no user's"))?;
        if tx.get(&CONVERTED, &(client, case.id))?.is_some() {
            return Err(not_refundable("converted").into());
        }
        self.check_not_own(tx, caller, &case)?;
        self.users.check_may_pay(tx, client, user)?;
        check_external_id(tx, &REFUNDS, BY_EXTERNAL_ID, client, input.external_id.as_ref())?;
        check_undisputed(tx, client, case.id, Taken::Payment)?;
        let remaining = case.payment.refundable()?;
        if amount > remaining {
            return Err(PaymentRefusal::RefundTooLarge { remaining }.into());
        }
        // What came first is paid back through where it came.
        let (_, came) = credited(tx, &case)?.ok_or_else(|| fault!("{} settled without money", case.id))?;
        let row = gateway(tx, client, came.gateway)?;

        let id: RefundId = tx.new_id();
        let (hold, held) =
            self.balance.hold(tx, client, user, amount, id.to_string(), "Refund, set aside")?;
        case.payment.refunded = case.payment.refunded.plus(amount)?;
        case.save(tx)?;
        let balance_after = self.balance.balances(tx, client, user, amount.currency())?.available;
        let record = NewTransaction {
            user,
            entry_type: EntryType::Debit,
            amount,
            balance_after,
            status: TransactionStatus::Pending,
            category: built_in::REFUND,
            narration: "Refund",
            cause: id.to_string(),
            entry: held.id,
        };
        let transaction = Some(self.transactions.record(tx, caller, client, record)?);
        let (status, approval) = self.approval_of_refund(tx, client, case.payment.refunded)?;
        let refund = Refund {
            payment: case.id,
            user: Some(user),
            gateway: came.gateway,
            kind: row.kind,
            charge: came.reference,
            amount,
            reason: String::from(&input.reason),
            source: Source::Held(hold.id),
            reference: None,
            error: None,
            needs_review: false,
            asked: 0,
            due_at: None,
            entry: None,
            transaction,
            approval,
            history: History::begin(status, caller, tx.now()),
            stamp: Stamp::new(tx, input.external_id.as_ref(), &input.metadata),
        };
        tx.insert(&REFUNDS, &(client, id), &refund)?;
        tx.publish(caller, &RefundRequested::of(id, &refund, Some(&input.reason)))?;
        self.reach(tx, client, id, refund)
    }

    /// Money in suspense goes back to whoever sent it. Refuses `not_found`, `invalid_state_transition` (it is decided
    /// already), `payment_disputed`.
    pub fn refund_suspense(
        &self,
        tx: &mut WriteTx,
        call: &Call<SettlementId, ReasonIn>,
    ) -> Result<Claim<Reaching, RefundOut>> {
        let (caller, client) = (&call.caller, call.caller.client()?);
        let (key, mut item) = self.in_suspense(tx, client, call.path, "refund")?;
        let row = gateway(tx, client, item.gateway)?;

        let id: RefundId = tx.new_id();
        item.place = Place::Refunding;
        save(tx, &SETTLEMENTS, &key, &mut item)?;
        let (status, approval) = self.approval_of_refund(tx, client, item.amount)?;
        let refund = Refund {
            payment: item.payment,
            user: None,
            gateway: item.gateway,
            kind: row.kind,
            charge: item.reference,
            amount: item.amount,
            reason: String::from(&call.input.reason),
            source: Source::Suspense(call.path),
            reference: None,
            error: None,
            needs_review: false,
            asked: 0,
            due_at: None,
            entry: None,
            transaction: None,
            approval,
            history: History::begin(status, caller, tx.now()),
            stamp: Stamp::at(tx.now()),
        };
        tx.insert(&REFUNDS, &(client, id), &refund)?;
        tx.publish(caller, &RefundRequested::of(id, &refund, Some(&call.input.reason)))?;
        self.reach(tx, client, id, refund)
    }

    /// Somebody else agrees: once enough did, it goes. Refuses `not_found`, `invalid_state_transition`,
    /// `payment_disputed` (its bank may take the money itself), `self_approval`, `revision_stale`, `not_on_committee`,
    /// `already_voted`, `user_not_active`.
    pub fn approve_refund(
        &self,
        tx: &mut WriteTx,
        call: &Call<RefundId, ApproveIn>,
    ) -> Result<Claim<Reaching, RefundOut>> {
        let (caller, client) = (&call.caller, call.caller.client()?);
        let mut refund = load(tx, client, call.path)?;
        if refund.status() == RefundStatus::RequiresApproval {
            let source = match refund.source {
                Source::Held(_) => Taken::Payment,
                Source::Suspense(settlement) => Taken::Suspense(settlement),
            };
            check_undisputed(tx, client, refund.payment, source)?;
            let concerned: Vec<Actor> =
                [refund.history.creator()].into_iter().chain(refund.user.map(Actor::User)).collect();
            let motion = Motion { operation: ApprovalOperation::Refund, concerned: &concerned };
            let approval = refund.approval.get_or_insert_with(|| Approval::of_before(refund.amount));
            let ballot = (&call.input).into();
            let is_enough = self.users.vote(tx, &*self.clients, caller, motion, approval, ballot)?;
            if let Some(user) = refund.user {
                self.users.check_may_pay(tx, client, user)?;
            }
            if !is_enough {
                return keep(tx, client, call.path, &mut refund).map(Claim::Done);
            }
        }
        if refund.history.step(&REFUND, RefundEvent::Approve, caller, None, tx.now())? == Step::Repeated {
            return Ok(Claim::Done(RefundOut::of(call.path, &refund)));
        }

        tx.publish(caller, &RefundApproved::of(call.path, &refund, None))?;
        self.reach(tx, client, call.path, refund)
    }

    /// A second person does not agree. Refuses `not_found`, `invalid_state_transition`, `self_approval`,
    /// `revision_stale`, `not_on_committee`.
    pub fn reject_refund(&self, tx: &mut WriteTx, call: &Call<RefundId, RejectIn>) -> Result<RefundOut> {
        let (caller, client) = (&call.caller, call.caller.client()?);
        let mut refund = load(tx, client, call.path)?;
        let policy = self.clients.approval_policy(tx, client, ApprovalOperation::Refund)?;
        if refund.status() == RefundStatus::RequiresApproval {
            refund.approval = refund.approval.map(|it| it.seen_under(policy));
        }
        self.check_second_person(tx, caller, client, &refund, call.input.revision)?;
        self.give_up(tx, caller, client, call.path, refund, RefundEvent::Reject, Some(&call.input.reason))
    }

    /// Withdraws it while nobody was told. Refuses `not_found`, `invalid_state_transition`.
    pub fn cancel_refund(&self, tx: &mut WriteTx, call: &Call<RefundId>) -> Result<RefundOut> {
        let (caller, client) = (&call.caller, call.caller.client()?);
        let refund = load(tx, client, call.path)?;
        if refund.status() == RefundStatus::Pending && !refund.is_withdrawable() {
            return Err(REFUND.refusal(refund.status(), RefundEvent::Cancel).into());
        }
        self.give_up(tx, caller, client, call.path, refund, RefundEvent::Cancel, None)
    }

    /// A person paid it back, or found out that it was. Refuses `not_found`, `not_manual`, `self_approval`,
    /// `invalid_state_transition`.
    pub fn mark_refund_paid(&self, tx: &mut WriteTx, call: &Call<RefundId, PaidBackIn>) -> Result<RefundOut> {
        let (caller, client) = (&call.caller, call.caller.client()?);
        let mut refund = load(tx, client, call.path)?;
        self.check_person(tx, caller, client, &refund)?;
        refund.reference = Some(String::from(&call.input.reference));
        self.succeed(tx, caller, client, call.path, refund)
    }

    /// A person knows that it did not go. Refuses `not_found`, `not_manual`, `self_approval`,
    /// `invalid_state_transition`.
    pub fn mark_refund_failed(&self, tx: &mut WriteTx, call: &Call<RefundId, ReasonIn>) -> Result<RefundOut> {
        let (caller, client) = (&call.caller, call.caller.client()?);
        let refund = load(tx, client, call.path)?;
        self.check_person(tx, caller, client, &refund)?;
        self.give_up(tx, caller, client, call.path, refund, RefundEvent::Fail, Some(&call.input.reason))
    }

    /// How a refund begins, when so much is refunded of its payment with it.
    fn approval_of_refund(
        &self,
        tx: &ReadTx,
        client: ClientId,
        total: Amount,
    ) -> Result<(RefundStatus, Option<Approval>)> {
        let policy = self.clients.approval_policy(tx, client, ApprovalOperation::Refund)?;
        Ok(match policy.is_automatic(total) {
            true => (RefundStatus::Pending, None),
            false => (RefundStatus::RequiresApproval, Some(Approval::under(policy, total))),
        })
    }

    /// A refund as it is to be shown: what people think of it under the rules of now.
    pub fn seen_refund(&self, tx: &ReadTx, client: ClientId, refund: &mut Refund) -> Result<()> {
        let is_asked = refund.status() == RefundStatus::RequiresApproval;
        if let Some(approval) = refund.approval.as_mut().filter(|_| is_asked) {
            *approval = self.users.seen(tx, &*self.clients, client, ApprovalOperation::Refund, approval)?;
        }
        Ok(())
    }

    pub fn show_refund(&self, tx: &ReadTx, call: &Call<RefundId>) -> Result<RefundOut> {
        let client = call.caller.client()?;
        let mut refund = load(tx, client, call.path)?;
        call.caller.may_reach(refund.user)?;
        self.seen_refund(tx, client, &mut refund)?;
        Ok(RefundOut::of(call.path, &refund))
    }

    /// Asks the gateway to pay back. No transaction is open.
    pub fn pay_back(
        &self,
        reaching: Reaching,
    ) -> impl Future<Output = (Reaching, RefundOutcome)> + Send + use<> {
        let asked = self.adapters.of(reaching.kind).refund(reaching.request.clone());
        async move { (reaching, asked.await) }
    }

    /// Notes what the gateway said. What comes after the end changes nothing.
    pub fn take_refund_word(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        (client, id): (ClientId, RefundId),
        outcome: RefundOutcome,
    ) -> Result<RefundOut> {
        let mut refund = load(tx, client, id)?;
        if refund.status() != RefundStatus::Pending {
            let status = refund.status();
            tracing::warn!(refund.id = %id, "Refund {id} is {status}, and now the gateway says {outcome:?}");
            if matches!(outcome, RefundOutcome::Succeeded { .. }) && status != RefundStatus::Succeeded {
                self.went_after_all(tx, caller, (client, id), &refund)?;
            }
            return Ok(RefundOut::of(id, &refund));
        }
        match outcome {
            RefundOutcome::Succeeded { reference } => {
                refund.reference = Some(reference);
                self.succeed(tx, caller, client, id, refund)
            }
            RefundOutcome::Failed { reason } => {
                self.give_up(tx, caller, client, id, refund, RefundEvent::Fail, Some(&reason))
            }
            RefundOutcome::Pending { reference } => {
                (refund.reference, refund.error, refund.needs_review) = (Some(reference), None, false);
                refund.ask_later(tx.now());
                keep(tx, client, id, &mut refund)
            }
            RefundOutcome::Unknown { reason } => {
                (refund.error, refund.needs_review) = (Some(reason), true);
                refund.ask_later(tx.now());
                keep(tx, client, id, &mut refund)
            }
        }
    }

    /// It was given up, its money is the user's again, and now the gateway says that it went. Nothing is booked by a
    /// machine: the user pays nothing out meanwhile, and a person who finds it true takes the money back by a dispute.
    fn went_after_all(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        (client, id): (ClientId, RefundId),
        refund: &Refund,
    ) -> Result<()> {
        let mut case = Case::load(tx, client, refund.payment)?;
        let reason = format!("{id} was given up, and its gateway says that it went");
        if case.payment.last_error.as_ref() == Some(&reason) {
            return Ok(()); // Said again.
        }
        if case.payment.review == Review::None {
            case.payment.review = Review::Needed;
        }
        case.payment.last_error = Some(reason.clone());
        case.news.push(News::Conflicted { reason: reason.clone() });
        if let Some(user) = refund.user {
            self.users.freeze(tx, caller, client, user, &reason)?;
        }
        self.finish(tx, caller, &mut case, None)
    }

    /// What it paid for was taken back as a whole: nothing is left to refund. Refuses `payment_disputed` while a bank
    /// takes it, `refund_too_large` when a part was refunded or disputed already, or is about to be.
    pub fn reversed(&self, tx: &mut WriteTx, envelope: &Envelope, event: FundingReversed) -> Result<()> {
        let Some(payment) = event.payment_id else { return Ok(()) };
        let client = Caller::behind(envelope).client()?;
        check_undisputed(tx, client, payment, Taken::Payment)?;
        let mut case = Case::load(tx, client, payment)?;
        if !case.payment.refunded.is_zero() || !case.payment.disputed.is_zero() {
            let remaining = case.payment.refundable()?;
            return Err(PaymentRefusal::RefundTooLarge { remaining }.into());
        }
        case.payment.is_reversed = true;
        case.save(tx)
    }

    /// What has to be told to whom, once nobody has to decide any more; a person's doing waits for that person.
    fn reach(
        &self,
        tx: &mut WriteTx,
        client: ClientId,
        id: RefundId,
        mut refund: Refund,
    ) -> Result<Claim<Reaching, RefundOut>> {
        let goes = refund.status() == RefundStatus::Pending && !refund.kind.pays_back_by_hand();
        if !goes {
            return keep(tx, client, id, &mut refund).map(Claim::Done);
        }
        refund.ask_later(tx.now());
        keep(tx, client, id, &mut refund)?;
        self.reaching(tx, client, id, &refund).map(Claim::Call)
    }

    /// A refund as its gateway is told.
    pub fn reaching(&self, tx: &ReadTx, client: ClientId, id: RefundId, refund: &Refund) -> Result<Reaching> {
        let row = gateway(tx, client, refund.gateway)?;
        let request = RefundRequest {
            refund: id,
            charge: refund.charge.clone(),
            reference: refund.reference.clone(),
            amount: refund.amount,
            access: self.access(tx, client, refund.gateway)?,
            setup: row.setup,
        };
        Ok(Reaching { client, id, kind: refund.kind, request })
    }

    /// held, or suspense → clearing. Refuses `invalid_state_transition`.
    fn succeed(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        id: RefundId,
        mut refund: Refund,
    ) -> Result<RefundOut> {
        if refund.history.step(&REFUND, RefundEvent::Succeed, caller, None, tx.now())? == Step::Repeated {
            return Ok(RefundOut::of(id, &refund));
        }

        let currency = refund.amount.currency();
        let clearing = Account::house(HouseAccount::Clearing(refund.gateway.bytes()), currency);
        let back = Line::raise(clearing, refund.amount);
        let entry = match refund.source {
            Source::Held(hold) => self.balance.capture(tx, client, hold, &[back], true, "Refund")?.1.id,
            Source::Suspense(settlement) => {
                let suspense = Account::house(HouseAccount::Suspense, currency);
                let lines = [Line::lower(suspense, refund.amount), back];
                let new = NewEntry {
                    cause: id.to_string(),
                    description: "Refund of money in suspense",
                    lines: &lines,
                    reverses: None,
                };
                let entry = self.balance.post(tx, client, new)?.id;
                self.move_settlement(tx, (client, refund.payment, settlement), Place::Refunded)?;
                entry
            }
        };
        if let Some(transaction) = refund.transaction {
            self.transactions.follow(tx, client, transaction, TransactionStatus::Completed, entry)?;
        }
        (refund.entry, refund.due_at, refund.needs_review, refund.error) = (Some(entry), None, false, None);
        let out = keep(tx, client, id, &mut refund)?;
        tx.publish(caller, &RefundSucceeded::of(id, &refund, Some(&refund.reason)))?;
        self.book_waiting(tx, caller, &mut Case::load(tx, client, refund.payment)?)?;
        Ok(out)
    }

    /// The money stays where it was, unless its payer's bank has taken it meanwhile. Refuses
    /// `invalid_state_transition`.
    #[allow(clippy::too_many_arguments, reason = "who, what, which way and why")]
    fn give_up(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        id: RefundId,
        refund: Refund,
        event: RefundEvent,
        reason: Option<&str>,
    ) -> Result<RefundOut> {
        let payment = refund.payment;
        let out = self.end_refund(tx, caller, client, id, refund, event, reason)?;
        self.book_waiting(tx, caller, &mut Case::load(tx, client, payment)?)?;
        Ok(out)
    }

    /// The money stays where it was. Refuses `invalid_state_transition`.
    #[allow(clippy::too_many_arguments, reason = "who, what, which way and why")]
    pub fn end_refund(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        id: RefundId,
        mut refund: Refund,
        event: RefundEvent,
        reason: Option<&str>,
    ) -> Result<RefundOut> {
        if refund.history.step(&REFUND, event, caller, reason, tx.now())? == Step::Repeated {
            return Ok(RefundOut::of(id, &refund));
        }

        match refund.source {
            Source::Held(hold) => {
                let (_, released) = self.balance.release(tx, client, hold, "Refund, given up")?;
                if let Some(transaction) = refund.transaction {
                    self.transactions.follow(
                        tx,
                        client,
                        transaction,
                        TransactionStatus::Failed,
                        released.id,
                    )?;
                }
                let mut case = Case::load(tx, client, refund.payment)?;
                case.payment.refunded = case.payment.refunded.minus(refund.amount)?;
                case.save(tx)?;
            }
            Source::Suspense(settlement) => {
                self.move_settlement(tx, (client, refund.payment, settlement), Place::Suspense)?;
            }
        }
        (refund.due_at, refund.needs_review) = (None, false);
        refund.error = reason.map(str::to_owned);
        let out = keep(tx, client, id, &mut refund)?;
        match event {
            RefundEvent::Fail => tx.publish(caller, &RefundFailed::of(id, &refund, reason))?,
            _ => tx.publish(caller, &RefundCanceled::of(id, &refund, reason))?,
        };
        Ok(out)
    }

    /// Refuses `self_approval` (whoever asked for it, or gets it, does not decide over it), `revision_stale`,
    /// `not_on_committee`.
    fn check_second_person(
        &self,
        tx: &ReadTx,
        caller: &Caller,
        client: ClientId,
        refund: &Refund,
        revision: u32,
    ) -> Result<()> {
        if refund.status() != RefundStatus::RequiresApproval {
            return Ok(()); // The very command again, or refused: the machine says which.
        }
        self.check_nobody_of(tx, caller, client, Some(refund.history.creator()), refund.user)?;
        refund.approval.as_ref().map_or(Ok(()), |it| it.check_revision(revision))?;
        let policy = self.clients.approval_policy(tx, client, ApprovalOperation::Refund)?;
        let amount = refund.approval.as_ref().map_or(refund.amount, |it| it.amount);
        self.users.check_voter(tx, client, caller.actor(), (&policy, amount))
    }

    /// Refuses `not_manual` when the gateway says itself what became of it, `self_approval` of whoever gets it.
    fn check_person(&self, tx: &ReadTx, caller: &Caller, client: ClientId, refund: &Refund) -> Result<()> {
        if refund.status() == RefundStatus::Pending && !refund.is_for_a_person() {
            return Err(PaymentRefusal::NotManual.into());
        }
        self.check_nobody_of(tx, caller, client, None, refund.user)
    }

    fn check_nobody_of(
        &self,
        tx: &ReadTx,
        caller: &Caller,
        client: ClientId,
        creator: Option<Actor>,
        user: Option<UserId>,
    ) -> Result<()> {
        let mut others = creator.into_iter().chain(user.map(Actor::User));
        others.try_for_each(|it| self.clients.check_other(tx, client, caller, it))
    }
}

fn keep(tx: &mut WriteTx, client: ClientId, id: RefundId, refund: &mut Refund) -> Result<RefundOut> {
    save(tx, &REFUNDS, &(client, id), refund)?;
    Ok(RefundOut::of(id, refund))
}
