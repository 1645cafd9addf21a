//! Adjustments: asked for by one person, posted or rejected by another.

use super::Ledger;
use crate::kernel::api::problem::ApiRefusal;
use crate::kernel::{
    api::{
        call::{Call, Caller, found},
        input::{Flaw, Metadata, input},
        principal::{ClientId, UserId},
    },
    error::{Error, Result},
    machine::{History, Step},
    money::{Amount, AmountText, Currency, CurrencyCode},
    store::{ReadTx, WriteTx},
};
use crate::modules::balance::{
    contract::{
        Account, AccountRef, AdjustmentId, BalanceContract as _, BalanceRefusal, HouseAccount, Line,
        NewEntry, Posted,
    },
    events::{BalanceAdjusted, Direction},
    model::adjustment::{ADJUSTMENT, Adjustment, AdjustmentEvent, AdjustmentStatus},
    repository::ADJUSTMENTS,
};

#[derive(utoipa::ToSchema)]
pub struct AdjustIn {
    /// `acc_…` or `house:<kind>`; or `user_id`, for the user's available account.
    pub account: Option<AccountRef>,
    pub user_id: Option<UserId>,
    pub currency: CurrencyCode,
    pub amount: AmountText,
    pub direction: Direction,
    /// Why; 1 to 500 characters.
    pub reason: String,
    pub external_id: Option<String>,
    pub metadata: Metadata,
}
input!(AdjustIn { account, user_id, currency, amount, direction, reason, external_id, metadata });

type Found = (AdjustmentId, Adjustment);

impl Ledger {
    /// Asks for an adjustment. Refuses `currency_inactive`, `external_id_taken`, `not_found`,
    /// `currency_mismatch`, `account_reserved`.
    pub fn request_adjustment(&self, tx: &mut WriteTx, call: &Call<(), AdjustIn>) -> Result<Found> {
        let (client, input) = (call.caller.client()?, &call.input);
        let reference = input.reference()?;
        check_text("reason", &input.reason, 500)?;
        if let Some(external_id) = &input.external_id {
            check_text("external_id", external_id, 255)?;
        }
        let currency = self.currencies.active(tx, client, input.currency)?;
        let amount = input.amount.positive("amount", currency)?;
        if let Some(external_id) = &input.external_id {
            let key = (client, external_id.clone());
            let taken = tx.find(&ADJUSTMENTS, "balance.adjustments_by_external_id", &key)?;
            if let Some(((_, existing_id), _)) = taken {
                return Err(ApiRefusal::ExternalIdTaken { existing_id: existing_id.to_string() }.into());
            }
        }
        let account = reference.resolve(self, &*self.users, tx, client, currency)?;
        if account == contra(currency) {
            return Err(not_the_contra());
        }

        let id: AdjustmentId = tx.new_id();
        let now = tx.now();
        let adjustment = Adjustment {
            account,
            direction: input.direction,
            amount,
            reason: input.reason.clone(),
            entry: None,
            history: History::begin(AdjustmentStatus::Requested, &call.caller, now),
            external_id: input.external_id.clone(),
            metadata: input.metadata.clone(),
            created_at: now,
            updated_at: now,
            version: 1,
        };
        tx.insert(&ADJUSTMENTS, &(client, id), &adjustment)?;
        Ok((id, adjustment))
    }

    /// Posts an adjustment that somebody else asked for, and announces it. Refuses `self_approval`,
    /// `invalid_state_transition`, `insufficient_funds`.
    pub fn approve_adjustment(&self, tx: &mut WriteTx, caller: &Caller, id: AdjustmentId) -> Result<Found> {
        let (client, mut adjustment) = self.decidable(tx, caller, id)?;
        let now = tx.now();
        let step = adjustment.history.step(&ADJUSTMENT, AdjustmentEvent::Approve, caller, None, now)?;
        if step == Step::Repeated {
            return Ok((id, adjustment));
        }
        let posted = self.post_adjustment(tx, client, id, &adjustment)?;

        adjustment.entry = Some(posted.id);
        adjustment.updated_at = now;
        adjustment.version += 1;
        tx.put(&ADJUSTMENTS, &(client, id), &adjustment)?;
        let event = BalanceAdjusted {
            adjustment_id: id,
            user_id: adjustment.account.user_id(),
            direction: adjustment.direction,
            amount: adjustment.amount.currency().show(adjustment.amount.minor()),
            currency: adjustment.amount.currency().code,
            reason: adjustment.reason.clone(),
            entry_id: posted.id,
        };
        tx.publish(caller, &event)?;
        Ok((id, adjustment))
    }

    /// Refuses `self_approval`, `invalid_state_transition`.
    pub fn reject_adjustment(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        id: AdjustmentId,
        reason: &str,
    ) -> Result<Found> {
        check_text("reason", reason, 500)?;
        let (client, mut adjustment) = self.decidable(tx, caller, id)?;
        let now = tx.now();
        let event = AdjustmentEvent::Reject;
        if adjustment.history.step(&ADJUSTMENT, event, caller, Some(reason), now)? == Step::Moved {
            adjustment.updated_at = now;
            adjustment.version += 1;
            tx.put(&ADJUSTMENTS, &(client, id), &adjustment)?;
        }
        Ok((id, adjustment))
    }

    /// The adjustment, for somebody who did not ask for it. Refuses `not_found`, `self_approval`.
    fn decidable(&self, tx: &ReadTx, caller: &Caller, id: AdjustmentId) -> Result<(ClientId, Adjustment)> {
        let client = caller.client()?;
        let adjustment = found(tx.get(&ADJUSTMENTS, &(client, id))?)?;
        if self.clients.same_person(tx, client, caller.actor(), adjustment.history.creator())? {
            return Err(BalanceRefusal::SelfApproval.into());
        }
        // A second decision of whatever kind meets the state machine.
        Ok((client, adjustment))
    }

    fn post_adjustment(
        &self,
        tx: &mut WriteTx,
        client: ClientId,
        id: AdjustmentId,
        adjustment: &Adjustment,
    ) -> Result<Posted> {
        let Adjustment { account, amount, direction, .. } = adjustment;
        let lines = lines(*direction, *account, contra(account.currency), *amount);
        let entry = NewEntry {
            cause: id.to_string(),
            description: &adjustment.reason,
            lines: &lines,
            reverses: None,
        };
        self.post(tx, client, entry)
    }
}

impl AdjustIn {
    /// The account it names, in one of two ways.
    fn reference(&self) -> Result<AccountRef> {
        match (self.account, self.user_id) {
            (Some(AccountRef::House(HouseAccount::Adjustment)), _) => Err(not_the_contra()),
            (Some(account), None) => Ok(account),
            (None, Some(user)) => Ok(AccountRef::User(user)),
            (Some(_), Some(_)) => Err(Flaw::new("user_id", "not_allowed", "account names it already").into()),
            (None, None) => Err(Flaw::new("account", "required", "is required, or user_id").into()),
        }
    }
}

/// The other side of every adjustment.
fn contra(currency: Currency) -> Account {
    Account::house(HouseAccount::Adjustment, currency)
}

fn not_the_contra() -> Error {
    Flaw::new("account", "not_allowed", "is the other side of every adjustment").into()
}

fn lines(direction: Direction, account: Account, contra: Account, amount: Amount) -> [Line; 2] {
    match direction {
        Direction::Credit => [Line::raise(account, amount), Line::lower(contra, amount)],
        Direction::Debit => [Line::lower(account, amount), Line::raise(contra, amount)],
    }
}

fn check_text(param: &str, text: &str, most: usize) -> Result<()> {
    if (1..=most).contains(&text.trim().chars().count()) && text.chars().count() <= most {
        return Ok(());
    }
    Err(Flaw::new(param, "out_of_range", format!("has 1 to {most} characters")).into())
}
