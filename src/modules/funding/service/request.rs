//! Asking for a deposit; and staff credits, which complete at once.

use std::time::Duration;

use super::Fundings;
use crate::{
    kernel::{
        api::{
            call::{Call, Reach},
            input::Flaw,
            object::{Stamp, check_external_id},
            principal::{Actor, ClientId, UserId},
        },
        error::Result,
        machine::History,
        money::Amount,
        store::{ReadTx, WriteTx},
    },
    modules::{
        funding::{
            contract::{FundingId, FundingRefusal, FundingStatus, FundingType},
            events::FundingRequested,
            model::{FUNDING, Funding, FundingEvent, Terms, quote::Quote, terms},
            repository::{BY_EXTERNAL_ID, FUNDINGS},
            routes::{FundingIn, FundingOut},
        },
        payment::contract::NewPayment,
        pricing::contract::{FeeOperation, FeeQuestion, LimitOperation, LimitUse},
        transaction::contract::TransactionRefusal,
    },
};

/// Giving money of the house, or of another user, at once: more than asking for a deposit.
pub const CREDIT: &str = "fundings.credit";

impl Fundings {
    /// A deposit waits for its payment; a staff credit is completed at once and takes `fundings.credit`.
    ///
    /// Refuses, in this order: `currency_inactive`, what is wrong with the amount and with fields that do not belong to
    /// the type, `currency_inactive` of the currency to pay in, `forbidden`, `not_found` and `user_not_active` of the
    /// user, `self_approval`, `reason_required`, `same_account`, `external_id_taken`, `above_maximum`,
    /// `fee_above_amount`, `rate_unavailable`, `own_price`, `below_limit`, `above_limit`, `limit_reached`; then what
    /// the payment, or the books, refuse.
    pub fn request(&self, tx: &mut WriteTx, call: &Call<(), FundingIn>) -> Result<FundingOut> {
        let (caller, input) = (&call.caller, &call.input);
        let client = caller.client()?;
        let currency = self.currencies.active(tx, client, input.currency)?;
        let amount = input.amount.positive("amount", currency)?;
        let user = caller.acting_for(input.user_id)?;
        let kind = input.r#type.unwrap_or(FundingType::Deposit);
        check_fields(call, kind)?;
        let pay = match input.pay_currency.filter(|it| *it != currency.code) {
            Some(other) => Some(self.currencies.active(tx, client, other)?),
            None => None,
        };
        if kind != FundingType::Deposit {
            caller.check_may(CREDIT)?;
        }
        let tier = self.users.check_may_receive(tx, client, user)?.tier;
        if kind != FundingType::Deposit {
            self.check_staff_credit(tx, call, client, user)?;
        }
        check_external_id(tx, &FUNDINGS, BY_EXTERNAL_ID, client, input.external_id.as_ref())?;
        let fee_included = input.fee_included.unwrap_or(false);
        let terms = match kind {
            FundingType::Deposit => self.deposit_terms(tx, call, amount, &tier)?,
            _ => Terms { to_pay: amount, credit: amount, fee: Amount::zero(currency) },
        };
        let quote = match pay {
            Some(pay) => {
                let found = self.market.rate(client, pay.code, currency.code)?;
                found.check_not_of(tx, &*self.clients, client, user)?;
                let settings = self.clients.get(tx, client)?.settings;
                let lasts_s = settings.funding.quote_expires_after_s.min(settings.payment.expires_after_s);
                let expires_at = tx.now().after(Duration::from_secs(lasts_s));
                Some(Quote::new(terms.to_pay, pay, found, expires_at)?)
            }
            None => None,
        };

        let id: FundingId = tx.new_id();
        let mut funding = Funding {
            user,
            kind,
            amount,
            credit: terms.credit,
            fee: terms.fee,
            fee_included,
            from_user: input.from_user_id,
            reason: input.reason.as_ref().map(String::from),
            payment: None,
            quote,
            entry: None,
            reversal: None,
            transactions: vec![],
            due_at: None,
            history: History::begin(FundingStatus::Pending, caller, tx.now()),
            stamp: Stamp::new(tx, input.external_id.as_ref(), &input.metadata),
        };
        if kind == FundingType::Deposit {
            self.limits.take(tx, client, LimitUse::new(LimitOperation::Funding, user, amount, id), &tier)?;
            let payment = NewPayment {
                user: Some(user),
                amount: funding.quote.as_ref().map_or(terms.to_pay, |it| it.expected),
                payable: Some(id.to_string()),
                credited_in: funding.quote.is_some().then_some(currency.code),
                gateway: input.gateway_id,
                expires_in_s: None,
                external_id: None,
                metadata: Default::default(),
            };
            funding.payment = Some(self.payments.create(tx, caller, client, payment)?.id);
            tx.insert(&FUNDINGS, &(client, id), &funding)?;
            tx.publish(caller, &FundingRequested::of(id, &funding, input.reason.as_deref()))?;
        } else {
            tx.publish(caller, &FundingRequested::of(id, &funding, input.reason.as_deref()))?;
            funding.history.step(&FUNDING, FundingEvent::Process, caller, None, tx.now())?;
            self.complete_credit(tx, caller, client, id, &mut funding)?;
        }
        Ok(FundingOut::of(id, &funding))
    }

    /// Refuses `above_maximum`, `fee_above_amount`.
    fn deposit_terms(
        &self,
        tx: &ReadTx,
        call: &Call<(), FundingIn>,
        amount: Amount,
        tier: &str,
    ) -> Result<Terms> {
        let (client, gateway) = (call.caller.client()?, call.input.gateway_id);
        // The limit holds for the currency it was set in: others do not compare.
        if let Some(maximum) = self.clients.get(tx, client)?.settings.funding.maximum
            && amount > maximum
        {
            return Err(FundingRefusal::AboveMaximum { maximum }.into());
        }
        let operation = FeeOperation::Funding;
        let question = FeeQuestion { operation, amount, to: None, gateway, tier };
        let fee = self.pricing.fee(tx, client, &question)?.fee;
        terms(amount, fee, call.input.fee_included.unwrap_or(false))?
            .ok_or_else(|| FundingRefusal::FeeAboveAmount { fee }.into())
    }

    /// Nobody credits themselves; a credit says why; a transfer's sender may pay.
    fn check_staff_credit(
        &self,
        tx: &ReadTx,
        call: &Call<(), FundingIn>,
        client: ClientId,
        user: UserId,
    ) -> Result<()> {
        self.clients.check_other(tx, client, &call.caller, Actor::User(user))?;
        if call.input.reason.is_none() {
            return Err(TransactionRefusal::ReasonRequired.into());
        }
        let Some(sender) = call.input.from_user_id else { return Ok(()) };
        if sender == user {
            return Err(TransactionRefusal::SameAccount.into());
        }
        self.users.check_may_pay(tx, client, sender).map(drop)
    }
}

/// Which fields belong to which type, and to whom.
fn check_fields(call: &Call<(), FundingIn>, kind: FundingType) -> Result<()> {
    let input = &call.input;
    let not_allowed = |param: &str, why: String| Err(Flaw::new(param, "not_allowed", why).into());
    let is_deposit = kind == FundingType::Deposit;
    if !is_deposit && call.caller.reach != Reach::Any {
        return not_allowed("type", "a user makes deposits only".to_owned());
    }
    if !is_deposit && input.gateway_id.is_some() {
        return not_allowed("gateway_id", format!("a {kind} is not paid through a gateway"));
    }
    if !is_deposit && input.pay_currency.is_some() {
        return not_allowed("pay_currency", format!("a {kind} is not paid"));
    }
    if !is_deposit && input.fee_included.is_some() {
        return not_allowed("fee_included", format!("a {kind} costs no fee"));
    }
    match (kind, input.from_user_id) {
        (FundingType::Transfer, None) => Err(Flaw::new("from_user_id", "required", "is required").into()),
        (FundingType::Transfer, Some(_)) | (_, None) => Ok(()),
        (_, Some(_)) => not_allowed("from_user_id", format!("a {kind} comes from no user")),
    }
}
