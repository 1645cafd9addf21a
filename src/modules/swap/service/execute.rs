//! Keeping a promise: both legs in one entry.

use super::Swaps;
use crate::{
    kernel::{
        api::{
            call::{Call, found},
            object::{Stamp, check_external_id},
        },
        error::{Result, fault},
        store::WriteTx,
    },
    modules::{
        balance::contract::{Account, HouseAccount, Line, NewEntry, UserAccount},
        category::contract::built_in,
        swap::{
            contract::{QuoteStatus, SwapId, SwapRefusal},
            events::SwapExecuted,
            model::{QUOTE, QuoteEvent, Swap, Terms},
            repository::{BY_EXTERNAL_ID, QUOTES, SWAPS},
            routes::{SwapIn, SwapOut},
        },
        transaction::contract::{EntryType, Record},
    },
};

impl Swaps {
    /// Accepts a quote. One that was accepted answers with its swap, whenever it is asked.
    ///
    /// Refuses, in this order: `not_found`, `quote_expired`, `invalid_state_transition`, `user_not_active`,
    /// `external_id_taken`, `insufficient_funds`.
    pub fn execute(&self, tx: &mut WriteTx, call: &Call<(), SwapIn>) -> Result<SwapOut> {
        let (caller, client, input) = (&call.caller, call.caller.client()?, &call.input);
        let mut quote = found(tx.get(&QUOTES, &(client, input.quote_id))?)?;
        caller.may_reach(Some(quote.user))?;
        if let Some(id) = quote.swap {
            let swap = tx.get(&SWAPS, &(client, id))?;
            let swap =
                swap.ok_or_else(|| fault!("{} has the swap {id}, which is not there", input.quote_id))?;
            return Ok(SwapOut::of(id, &swap));
        }
        let is_over = quote.status() == QuoteStatus::Expired
            || (quote.status() == QuoteStatus::Active && tx.now() >= quote.expires_at);
        if is_over {
            return Err(SwapRefusal::QuoteExpired { expired_at: quote.expires_at }.into());
        }
        quote.history.step(&QUOTE, QuoteEvent::Accept, caller, None, tx.now())?;
        self.users.check_may_pay(tx, client, quote.user)?;
        check_external_id(tx, &SWAPS, BY_EXTERNAL_ID, client, input.external_id.as_ref())?;

        let id: SwapId = tx.new_id();
        let Terms { from, fee, to, .. } = quote.terms;
        let given = from.minus(fee)?;
        let of_user = |amount: crate::kernel::money::Amount| {
            Account::user(quote.user, UserAccount::Available, amount.currency())
        };
        let house = |kind, amount: crate::kernel::money::Amount| Account::house(kind, amount.currency());
        let lines = [
            Line::lower(of_user(from), from),
            Line::raise(house(HouseAccount::Fx, from), given),
            Line::raise(house(HouseAccount::FeeIncome, from), fee),
            Line::lower(house(HouseAccount::Fx, to), to),
            Line::raise(of_user(to), to),
        ];
        let narration = format!("Swap of {from} for {to}");
        let side = |entry_type, amount, category, narration| Record {
            user: quote.user,
            entry_type,
            amount,
            category,
            narration,
        };
        let records = [
            side(EntryType::Debit, given, built_in::SWAP, narration.as_str()),
            side(EntryType::Credit, to, built_in::SWAP, narration.as_str()),
            side(EntryType::Fee, fee, built_in::FEE, "Swap fee"),
        ];
        let new = NewEntry { cause: id.to_string(), description: "Swap", lines: &lines, reverses: None };
        let (entry, transactions) = self.transactions.post(tx, caller, client, new, &records)?;
        let swap = Swap {
            user: quote.user,
            quote: input.quote_id,
            terms: quote.terms.clone(),
            entry,
            transactions,
            stamp: Stamp::new(tx, input.external_id.as_ref(), &input.metadata),
        };
        tx.insert(&SWAPS, &(client, id), &swap)?;
        quote.swap = Some(id);
        quote.stamp.touch(tx.now());
        tx.put(&QUOTES, &(client, input.quote_id), &quote)?;
        tx.publish(
            caller,
            &SwapExecuted {
                swap_id: id,
                quote_id: input.quote_id,
                user_id: quote.user,
                from_amount: from.digits(),
                from_currency: from.currency().code,
                to_amount: to.digits(),
                to_currency: to.currency().code,
                fee: fee.digits(),
                rate: quote.terms.rate.value,
                entry_id: entry,
            },
        )?;
        Ok(SwapOut::of(id, &swap))
    }
}
