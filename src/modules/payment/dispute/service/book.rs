//! What is booked of disputes: what a bank took, as soon as there is something to book it on, and what it gave back.

use super::super::{
    events::DisputeOpened,
    model::{DISPUTE, Dispute, DisputeEvent, Source},
    repository::{DISPUTES, OF_NOBODY, of_payment},
};
use crate::{
    kernel::{
        api::{
            call::Caller,
            object::save,
            principal::{ClientId, UserId},
        },
        error::{Result, fault},
        id::Id as _,
        money::Amount,
        store::{ReadTx, Scan, WriteTx},
    },
    modules::{
        balance::contract::{Account, AccountOwner, HouseAccount, Line, NewEntry, UserAccount},
        category::contract::built_in,
        payment::{
            contract::{DisputeId, DisputeStatus, PaymentStatus, RefundId, RefundStatus, SettlementId},
            model::{Place, Settlement},
            refund::{
                model::{Refund, RefundEvent, Source as Refunded},
                repository::{BY_PAYMENT as REFUNDS_BY_PAYMENT, REFUNDS},
            },
            repository::{SETTLEMENTS, SETTLEMENTS_BY_ID, SettlementKey},
            service::{Case, Payments, Try, item_of_reference},
        },
        transaction::contract::{EntryType, NewTransaction, TransactionStatus},
    },
};

/// What a bank takes from.
struct Purse {
    source: Source,
    /// Whose it is; of money in suspense, whose payment it came for.
    user: Option<UserId>,
    /// How much is there for it. `None`: that is known later, when the payment settles or an open refund has ended.
    room: Option<Amount>,
}

impl Payments {
    /// A payment and its attempt are stored and announced; disputes that waited for what happened are looked at.
    pub fn finish(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        case: &mut Case,
        attempt: Option<&mut Try>,
    ) -> Result<()> {
        let known = attempt.as_ref().and_then(|it| Some((it.row.gateway, it.row.reference.clone()?)));
        let is_money_there = case.brings_money();
        case.finish(tx, caller, attempt)?;
        let mut is_found = false;
        if let Some(known) = known {
            let key = (case.client, known.0, known.1);
            let rows = tx.scan_index(&DISPUTES, OF_NOBODY, Scan::prefix(&key));
            let rows: Vec<_> = rows.collect::<Result<_>>()?;
            for ((client, id), mut dispute) in rows {
                dispute.payment = Some(case.id);
                (dispute.user, dispute.payable) = (case.payment.user, case.payment.payable.clone());
                save(tx, &DISPUTES, &(client, id), &mut dispute)?;
                if dispute.is_unbooked() {
                    self.freeze_unbooked(tx, caller, client, (id, &dispute))?;
                }
                is_found = true;
            }
        }
        match is_money_there || is_found {
            true => self.book_waiting(tx, caller, case),
            false => Ok(()),
        }
    }

    /// Books what banks took of a payment and could not be booked before.
    pub fn book_waiting(&self, tx: &mut WriteTx, caller: &Caller, case: &mut Case) -> Result<()> {
        for (id, mut dispute) in of_payment(tx, case.client, case.id)? {
            if !dispute.is_unbooked() {
                continue;
            }
            let before = dispute.source;
            if !self.book(tx, caller, case, (id, &mut dispute))? {
                if dispute.source != before {
                    save(tx, &DISPUTES, &(case.client, id), &mut dispute)?; // The money has gone elsewhere.
                }
                continue;
            }
            if dispute.status() == DisputeStatus::Unbooked {
                let event = DisputeEvent::ChargeBack;
                dispute.history.step(&DISPUTE, event, caller, None, tx.now())?;
            }
            save(tx, &DISPUTES, &(case.client, id), &mut dispute)?;
            self.tell_opened(tx, caller, case.client, (id, &dispute))?;
        }
        Ok(())
    }

    /// Books what a bank took, as far as there is something to book it on; what it wants beyond that is left to a
    /// person. False when nothing was booked.
    pub(super) fn book(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        case: &mut Case,
        (id, dispute): (DisputeId, &mut Dispute),
    ) -> Result<bool> {
        let purse = self.purse(tx, case, dispute)?;
        (dispute.source, dispute.user) = (purse.source, purse.user);
        let Some(room) = purse.room else { return Ok(false) };
        let wanted = dispute.claimed;
        if wanted.is_zero() || wanted.currency() != room.currency() {
            let name = dispute.known_as().cloned().unwrap_or_else(|| id.to_string());
            let reason = format!("{name} disputes what is no amount of {}", room.currency().code);
            self.leave_to_a_person_frozen(tx, caller, case, reason)?;
            return Ok(false);
        }
        if wanted > room {
            let name = dispute.known_as().cloned().unwrap_or_else(|| id.to_string());
            let reason = format!("{name} takes {wanted} back, {room} of it can be charged");
            self.leave_to_a_person_frozen(tx, caller, case, reason)?;
        }
        if room.is_zero() {
            return Ok(false);
        }
        dispute.amount = if wanted > room { room } else { wanted };
        self.take_back(tx, caller, case, id, dispute)?;
        Ok(true)
    }

    /// Where the money is that a bank takes.
    fn purse(&self, tx: &ReadTx, case: &Case, dispute: &Dispute) -> Result<Purse> {
        let payer = case.payment.user;
        let nothing = Amount::zero(case.payment.amount.currency());
        if let Some(((_, _, id), item)) = self.item_of(tx, case.client, dispute)? {
            let (source, user, room) = match item.place {
                // All of it or nothing: a part of what is in suspense cannot be told from the rest.
                Place::Suspense if dispute.claimed < item.amount => {
                    (Source::Suspense(id), payer, Some(nothing))
                }
                Place::Suspense => (Source::Suspense(id), payer, Some(item.amount)),
                Place::Refunding => (Source::Suspense(id), payer, None),
                Place::Refunded | Place::ChargedBack => (Source::Suspense(id), payer, Some(nothing)),
                Place::Assigned => {
                    let user = self.assigned_to(tx, case.client, id, &item)?;
                    (Source::Assigned(id), Some(user), Some(self.left_of(tx, case, id, item.amount)?))
                }
                Place::Waiting => (Source::Payment, payer, None),
                Place::Credited => return self.purse_of_payment(tx, case, dispute),
            };
            return Ok(Purse { source, user, room });
        }
        self.purse_of_payment(tx, case, dispute)
    }

    fn purse_of_payment(&self, tx: &ReadTx, case: &Case, dispute: &Dispute) -> Result<Purse> {
        let (source, user) = (Source::Payment, case.payment.user);
        let is_settled = case.payment.status() == PaymentStatus::Settled && user.is_some();
        let remaining = case.payment.refundable()?;
        let is_in_the_way =
            dispute.claimed > remaining && !self.open_refunds(tx, case, Source::Payment)?.is_empty();
        Ok(Purse { source, user, room: (is_settled && !is_in_the_way).then_some(remaining) })
    }

    /// The money it is about, where it is known by itself: in suspense, or by the gateway's reference.
    fn item_of(
        &self,
        tx: &ReadTx,
        client: ClientId,
        dispute: &Dispute,
    ) -> Result<Option<(SettlementKey, Settlement)>> {
        match (dispute.source, &dispute.charge) {
            (Source::Suspense(id) | Source::Assigned(id), _) => {
                tx.find(&SETTLEMENTS, SETTLEMENTS_BY_ID, &(client, id))
            }
            (Source::Payment, Some(charge)) => item_of_reference(tx, client, dispute.gateway, charge),
            (Source::Payment, None) => Ok(None),
        }
    }

    /// Whose money from suspense became: its entry says it.
    fn assigned_to(
        &self,
        tx: &ReadTx,
        client: ClientId,
        id: SettlementId,
        item: &Settlement,
    ) -> Result<UserId> {
        let lines = match item.moved_by {
            Some(entry) => self.balance.lines_of(tx, client, entry)?.unwrap_or_default(),
            None => vec![],
        };
        let mut owners = lines.iter().filter_map(|it| match it.account.owner {
            AccountOwner::User(user, UserAccount::Available) => Some(user),
            _ => None,
        });
        owners.next().ok_or_else(|| fault!("{id} was assigned to nobody"))
    }

    /// What banks did not take yet of money that was in suspense.
    fn left_of(&self, tx: &ReadTx, case: &Case, id: SettlementId, amount: Amount) -> Result<Amount> {
        let disputes = of_payment(tx, case.client, case.id)?;
        let taken = disputes.iter().filter(|(_, it)| it.takes() && it.source == Source::Assigned(id));
        taken.map(|it| it.1.amount).try_fold(amount, |left, taken| left.minus(taken))
    }

    /// Refunds of this money that have not ended.
    pub(super) fn open_refunds(
        &self,
        tx: &ReadTx,
        case: &Case,
        source: Source,
    ) -> Result<Vec<(RefundId, Refund)>> {
        let rows = tx.scan_index(&REFUNDS, REFUNDS_BY_PAYMENT, Scan::prefix(&(case.client, case.id)));
        let rows = rows.map(|row| row.map(|((_, id), row)| (id, row)));
        let is_open = |it: &Refund| {
            let is_its = match it.source {
                Refunded::Held(_) => source == Source::Payment,
                Refunded::Suspense(id) => source == Source::Suspense(id),
            };
            is_its && matches!(it.status(), RefundStatus::RequiresApproval | RefundStatus::Pending)
        };
        rows.filter(|it| it.as_ref().map_or(true, |it| is_open(&it.1))).collect()
    }

    /// The bank keeps the money: a refund in its way that nobody was told of does not go.
    pub(super) fn make_room(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        case: &mut Case,
        dispute: &Dispute,
    ) -> Result<()> {
        let purse = self.purse(tx, case, dispute)?;
        if purse.room.is_some() {
            return Ok(());
        }
        for (id, refund) in self.open_refunds(tx, case, purse.source)? {
            if refund.status() != RefundStatus::RequiresApproval {
                continue;
            }
            let reason = "the payer's bank took the money back, and keeps it";
            let event = RefundEvent::Cancel;
            self.end_refund(tx, caller, case.client, id, refund, event, Some(reason))?;
        }
        *case = Case::load(tx, case.client, case.id)?;
        Ok(())
    }

    /// available → clearing, whether or not it is there; or suspense → clearing.
    fn take_back(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        case: &mut Case,
        id: DisputeId,
        dispute: &mut Dispute,
    ) -> Result<()> {
        let (client, amount) = (case.client, dispute.amount);
        let (from, clearing) = accounts(dispute)?;
        let lines = [Line::lower(from, amount), Line::raise(clearing, amount)];
        let entry =
            NewEntry { cause: id.to_string(), description: "Chargeback", lines: &lines, reverses: None };
        let posted = self.balance.charge_back(tx, client, entry)?;
        dispute.entry = Some(posted.id);
        if let Source::Suspense(settlement) = dispute.source {
            let key = (client, case.id, settlement);
            return self.move_settlement(tx, key, Place::ChargedBack);
        }
        let user = dispute.user.ok_or_else(|| fault!("{id} takes nobody's money"))?;
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
        dispute.transaction = Some(self.transactions.record(tx, caller, client, record)?);
        if dispute.source == Source::Payment {
            case.payment.disputed = case.payment.disputed.plus(amount)?;
            case.save(tx)?;
        }
        Ok(())
    }

    /// Tells that money was taken back, and stops its user from paying out.
    pub(super) fn tell_opened(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        (id, dispute): (DisputeId, &Dispute),
    ) -> Result<()> {
        tx.publish(caller, &DisputeOpened::of(id, dispute))?;
        self.freeze_over(tx, caller, client, (id, dispute), dispute.amount, "")
    }

    /// Stops whoever it is about from paying out: nobody, when the money is nobody's yet.
    pub(super) fn freeze_over(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        (id, dispute): (DisputeId, &Dispute),
        taken: Amount,
        how: &str,
    ) -> Result<()> {
        let is_nobodys = matches!(dispute.source, Source::Suspense(_));
        let (Some(user), Some(payment), false) = (dispute.user, dispute.payment, is_nobodys) else {
            return Ok(());
        };
        let reason = format!("The bank took back {taken} of {payment}{how} ({id})");
        self.users.freeze(tx, caller, client, user, &reason).map(drop)
    }

    /// The first entry taken back. Nothing was booked of a dispute that was over when it was told.
    pub(super) fn give_back(
        &self,
        tx: &mut WriteTx,
        case: &mut Case,
        id: DisputeId,
        dispute: &mut Dispute,
    ) -> Result<()> {
        let Some(entry) = dispute.entry else { return Ok(()) };
        let (to, clearing) = accounts(dispute)?;
        let lines = [Line::lower(clearing, dispute.amount), Line::raise(to, dispute.amount)];
        let back = NewEntry {
            cause: id.to_string(),
            description: "Chargeback, won",
            lines: &lines,
            reverses: Some(entry),
        };
        let posted = self.balance.post(tx, case.client, back)?;
        dispute.reversal = Some(posted.id);
        if let Source::Suspense(settlement) = dispute.source {
            return self.move_settlement(tx, (case.client, case.id, settlement), Place::Suspense);
        }
        if let Some(transaction) = dispute.transaction {
            let status = TransactionStatus::Reversed;
            self.transactions.follow(tx, case.client, transaction, status, posted.id)?;
        }
        if dispute.source == Source::Payment {
            case.payment.disputed = case.payment.disputed.minus(dispute.amount)?;
            case.save(tx)?;
        }
        Ok(())
    }
}

/// Whose money is taken, and where it goes.
fn accounts(dispute: &Dispute) -> Result<(Account, Account)> {
    let currency = dispute.amount.currency();
    let from = match (dispute.source, dispute.user) {
        (Source::Suspense(_), _) => Account::house(HouseAccount::Suspense, currency),
        (Source::Payment | Source::Assigned(_), Some(user)) => {
            Account::user(user, UserAccount::Available, currency)
        }
        (Source::Payment | Source::Assigned(_), None) => {
            return Err(fault!("a dispute takes nobody's money"));
        }
    };
    let clearing = HouseAccount::Clearing(dispute.gateway.bytes());
    Ok((from, Account::house(clearing, currency)))
}
