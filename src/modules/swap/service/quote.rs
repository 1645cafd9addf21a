//! Promising a price, and taking the promise back.

use std::time::Duration;

use super::Swaps;
use crate::{
    kernel::{
        api::{
            call::{Call, found},
            input::Flaw,
            object::{Stamp, check_external_id},
            principal::{ClientId, UserId},
        },
        error::Result,
        machine::{History, Step},
        money::{Amount, Currency, Rounding},
        store::{ReadTx, WriteTx},
    },
    modules::{
        market::contract::MarketRefusal,
        pricing::contract::{FeeOperation, FeeQuestion},
        swap::{
            contract::{QuoteId, QuoteStatus, SwapRefusal},
            model::{QUOTE, Quote, QuoteEvent, Terms, Wanted, sides},
            repository::{QUOTES, QUOTES_BY_EXTERNAL_ID},
            routes::{QuoteIn, QuoteOut},
        },
    },
};

impl Swaps {
    /// Refuses, in this order: what is wrong with the fields, `currency_inactive`, what is wrong with the amount,
    /// `not_found` and `user_not_active` of the user, `external_id_taken`, `rate_unavailable`, `swap_too_small`,
    /// `swap_above_maximum`. Whether the user has the money is asked when the quote is accepted.
    pub fn quote(&self, tx: &mut WriteTx, call: &Call<(), QuoteIn>) -> Result<QuoteOut> {
        let (caller, client, input) = (&call.caller, call.caller.client()?, &call.input);
        let user = caller.acting_for(input.user_id)?;
        if input.from_currency == input.to_currency {
            return Err(Flaw::new("to_currency", "not_allowed", "must be another currency").into());
        }
        let from = self.currencies.active(tx, client, input.from_currency)?;
        let to = self.currencies.active(tx, client, input.to_currency)?;
        let wanted = match (&input.from_amount, &input.to_amount) {
            (Some(give), None) => Wanted::Give(give.positive("from_amount", from)?),
            (None, Some(receive)) => Wanted::Receive(receive.positive("to_amount", to)?),
            _ => return Err(Flaw::new("from_amount", "required", "give from_amount or to_amount").into()),
        };
        let tier = self.users.check_may_pay(tx, client, user)?.tier;
        check_external_id(tx, &QUOTES, QUOTES_BY_EXTERNAL_ID, client, input.external_id.as_ref())?;
        let terms = self.terms(tx, client, (user, &tier), wanted, from, to)?;
        let settings = self.clients.get(tx, client)?.settings.swap;
        self.check_maximum(client, terms.from, settings.maximum)?;

        let id: QuoteId = tx.new_id();
        let quote = Quote {
            user,
            terms,
            expires_at: tx.now().after(Duration::from_secs(settings.quote_expires_after_s)),
            swap: None,
            history: History::begin(QuoteStatus::Active, caller, tx.now()),
            stamp: Stamp::new(tx, input.external_id.as_ref(), &input.metadata),
        };
        tx.insert(&QUOTES, &(client, id), &quote)?;
        Ok(QuoteOut::of(id, &quote))
    }

    /// Refuses `invalid_state_transition`, and `quote_expired` when its time has passed.
    pub fn cancel(&self, tx: &mut WriteTx, call: &Call<QuoteId>) -> Result<QuoteOut> {
        let (caller, client) = (&call.caller, call.caller.client()?);
        let mut quote = found(tx.get(&QUOTES, &(client, call.path))?)?;
        caller.may_reach(Some(quote.user))?;
        if quote.status() == QuoteStatus::Active && tx.now() >= quote.expires_at {
            return Err(SwapRefusal::QuoteExpired { expired_at: quote.expires_at }.into());
        }
        if quote.history.step(&QUOTE, QuoteEvent::Cancel, caller, None, tx.now())? == Step::Moved {
            quote.stamp.touch(tx.now());
            tx.put(&QUOTES, &(client, call.path), &quote)?;
        }
        Ok(QuoteOut::of(call.path, &quote))
    }

    /// The one place where rate, spread and fee come together. Refuses `rate_unavailable`, `own_price`,
    /// `swap_too_small`.
    fn terms(
        &self,
        tx: &ReadTx,
        client: ClientId,
        (user, tier): (UserId, &str),
        wanted: Wanted,
        from: Currency,
        to: Currency,
    ) -> Result<Terms> {
        let found = self.market.rate(client, from.code, to.code)?;
        found.check_not_of(tx, &*self.clients, client, user)?;
        let spread = self.pricing.spread(tx, client, from.code, to.code, tier)?;
        let nothing_left = || {
            let (pair, reason) =
                (format!("{}/{}", from.code, to.code), "the spread leaves nothing".to_owned());
            MarketRefusal::RateUnavailable { pair, reason, age_s: None }
        };
        let exchange = found.exchange.less(spread).ok_or_else(nothing_left)?;
        let rate = exchange.rate(Rounding::Down).ok_or_else(nothing_left)?;
        let fee_of = |amount: Amount| {
            let (operation, to) = (FeeOperation::Swap, Some(to.code));
            let question = FeeQuestion { operation, amount, to, gateway: None, tier };
            self.pricing.fee(tx, client, &question).map(|it| (it.fee, it.rule))
        };
        let sides = sides(wanted, &exchange, from, to, fee_of)?.ok_or(SwapRefusal::SwapTooSmall)?;
        Ok(Terms {
            from: sides.from,
            fee: sides.fee,
            fee_rule: sides.fee_rule,
            to: sides.to,
            mid: found.rate.value,
            spread,
            rate,
            prices: found.prices,
            as_of: found.as_of,
        })
    }

    /// What is given must not be worth more than the client allows at once.
    fn check_maximum(&self, client: ClientId, from: Amount, maximum: Option<Amount>) -> Result<()> {
        let Some(maximum) = maximum else { return Ok(()) };
        let worth = self.market.convert(client, from, maximum.currency(), Rounding::Up)?.amount;
        if worth > maximum {
            return Err(SwapRefusal::SwapAboveMaximum { worth, maximum }.into());
        }
        Ok(())
    }
}
