//! Asking for a withdrawal. Of several rules that are broken, the first of this list answers:
//!
//! | | what | code |
//! |---|---|---|
//! | 1 | the shape of the input, the method included | 422 with all flaws in `errors[]` |
//! | 2 | the client does not use the currency | `currency_inactive` |
//! | 3 | the amount | `amount_too_large`, `amount_scale`, `amount_not_positive` |
//! | 4 | the user is unknown | `not_found` |
//! | 5 | the user is frozen or disabled | `user_not_active` |
//! | 6 | another withdrawal has the external id | `external_id_taken` |
//! | 7 | too little | `below_minimum` |
//! | 8 | the beneficiary: none named, unknown, not confirmed, too new | `beneficiary_required`, `not_found`, `beneficiary_unconfirmed`, `beneficiary_not_ready` |
//! | 9 | the fee is included and takes all | `nothing_left` |
//! | 10 | the limits of the user's tier | `below_limit`, `above_limit`, `limit_reached` |
//! | 11 | the user has less than amount and fee | `insufficient_funds` |

use super::{Withdrawals, announce, narration};
use crate::kernel::{
    api::{
        call::{Call, Caller, Reach},
        input::{Flaw, Flawed},
        object::{Stamp, check_external_id},
        principal::{Actor, ClientId, UserId},
        problem::ApiRefusal,
    },
    error::Result,
    machine::History,
    money::Amount,
    store::{ReadTx, WriteTx},
};
use crate::modules::{
    balance::contract::{Account, EntryId, Line, NewEntry, UserAccount},
    category::contract::built_in,
    client::contract::{Approval, ApprovalPolicy, Automatic},
    pricing::contract::{FeeOperation, FeeQuestion, LimitOperation, LimitUse},
    transaction::contract::{EntryType, NewTransaction, TransactionStatus},
    withdrawal::{
        contract::{BeneficiaryId, WithdrawalId, WithdrawalRefusal, WithdrawalStatus, WithdrawalType},
        method::Method,
        model::{ChargeKind, Purpose, Withdrawal, WithdrawalEvent},
        repository::{self, BY_EXTERNAL_ID, WITHDRAWALS},
        routes::{WithdrawalIn, WithdrawalOut},
    },
};

/// What was asked, as far as it is known to be right.
struct Asked<'a> {
    caller: &'a Caller,
    client: ClientId,
    user: UserId,
    tier: String,
    amount: Amount,
    input: &'a WithdrawalIn,
}

impl Withdrawals {
    pub fn create(&self, tx: &mut WriteTx, call: &Call<(), WithdrawalIn>) -> Result<WithdrawalOut> {
        let withdrawal = self.make(tx, &call.caller, &call.input)?;
        self.out(tx, &call.caller, &withdrawal)
    }

    /// One, whether or not it was asked for alone.
    pub(super) fn make(&self, tx: &mut WriteTx, caller: &Caller, input: &WithdrawalIn) -> Result<Withdrawal> {
        let client = caller.client()?;
        check_shape(input, caller.reach)?;
        let user = caller.acting_for(input.user_id)?;
        let currency = self.currencies.active(tx, client, input.currency)?;
        let amount = input.amount.positive("amount", currency)?;
        let tier = self.users.check_may_pay(tx, client, user)?.tier;
        check_external_id(tx, &WITHDRAWALS, BY_EXTERNAL_ID, client, input.external_id.as_ref())?;
        let asked = Asked { caller, client, user, tier, amount, input };
        match input.kind() {
            WithdrawalType::CashOut => self.cash_out(tx, asked),
            WithdrawalType::Fee => self.charge(tx, asked, ChargeKind::Fee),
            WithdrawalType::Tax => self.charge(tx, asked, ChargeKind::Tax),
        }
    }

    /// Holds amount and fee at once. A user confirms what it asked for, where mail is configured; what nobody has to
    /// confirm is approved on the spot when the client's rules say so.
    fn cash_out(&self, tx: &mut WriteTx, asked: Asked<'_>) -> Result<Withdrawal> {
        let Asked { caller, client, user, amount, input, .. } = asked;
        let settings = self.clients.get(tx, client)?.settings.withdrawal;
        // The minimum holds for the currency it was set in: amounts in others have no order with it.
        if let Some(minimum) = settings.minimum
            && amount < minimum
        {
            let currency = minimum.currency().code;
            return Err(WithdrawalRefusal::BelowMinimum { minimum, currency }.into());
        }
        let (method, beneficiary) = self.destination(tx, &asked)?;
        // Which gateway pays it out is decided when it is processed.
        let operation = FeeOperation::Withdrawal;
        let question = FeeQuestion { operation, amount, to: None, gateway: None, tier: &asked.tier };
        let fee = self.pricing.fee(tx, client, &question)?.fee;
        let fee_included = input.fee_included.unwrap_or(false);
        if fee_included && fee >= amount {
            return Err(WithdrawalRefusal::NothingLeft { fee, currency: amount.currency().code }.into());
        }
        let payout = if fee_included { amount.minus(fee)? } else { amount };
        let id: WithdrawalId = tx.new_id();
        let used = LimitUse::new(LimitOperation::Withdrawal, user, amount, id);
        self.limits.take(tx, client, used, &asked.tier)?;
        let description = format!("Withdrawal to {method}");
        let (hold, posted) =
            self.balances.hold(tx, client, user, payout.plus(fee)?, id.to_string(), &description)?;

        let policy = self.policy(tx, client)?;
        let purpose = Purpose::CashOut { method, beneficiary, hold: hold.id };
        let new = New { id, purpose, fee, payout, policy, entry: posted.id };
        if self.takes_confirmation(tx, caller, user)? {
            let withdrawal = self.begin(tx, &asked, new, WithdrawalStatus::PendingConfirmation)?;
            return self.ask_to_confirm(tx, caller, withdrawal);
        }
        let withdrawal = self.begin(tx, &asked, new, WithdrawalStatus::PendingReview)?;
        self.review(tx, caller, withdrawal)
    }

    /// Approves it on the spot when the client's rules say so; otherwise it waits for people.
    pub(super) fn review(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        withdrawal: Withdrawal,
    ) -> Result<Withdrawal> {
        let client = caller.client()?;
        let policy = self.policy(tx, client)?;
        if !policy.is_automatic(withdrawal.amount) {
            return Ok(withdrawal);
        }
        let reason = match policy.automatic {
            Automatic::UpTo(limit) => format!("automatic up to {limit}"),
            Automatic::Always | Automatic::Never => "automatic".to_owned(),
        };
        let system = Caller { request_id: caller.request_id.clone(), ..Caller::system(Some(client)) };
        self.advance(tx, &system, withdrawal, WithdrawalEvent::Approve, Some(&reason))
    }

    /// Takes a charge at once.
    fn charge(&self, tx: &mut WriteTx, asked: Asked<'_>, kind: ChargeKind) -> Result<Withdrawal> {
        let Asked { client, user, amount, input, .. } = asked;
        let reason = input.reason.as_ref().map(String::from).unwrap_or_default();
        let available = Account::user(user, UserAccount::Available, amount.currency());
        let house = Account::house(kind.account(), amount.currency());
        let id: WithdrawalId = tx.new_id();
        let entry = NewEntry {
            cause: id.to_string(),
            description: &reason,
            lines: &[Line::lower(available, amount), Line::raise(house, amount)],
            reverses: None,
        };
        let posted = self.balances.post(tx, client, entry)?;

        let purpose = Purpose::Charge { kind, reason };
        let policy = self.policy(tx, client)?;
        let fee = Amount::zero(amount.currency());
        let new = New { id, purpose, fee, payout: amount, policy, entry: posted.id };
        self.begin(tx, &asked, new, WithdrawalStatus::Completed)
    }

    /// Stores the withdrawal in its first state, with its records, and tells of it.
    fn begin(
        &self,
        tx: &mut WriteTx,
        asked: &Asked<'_>,
        new: New,
        status: WithdrawalStatus,
    ) -> Result<Withdrawal> {
        let now = tx.now();
        let mut withdrawal = Withdrawal {
            id: new.id,
            user: asked.user,
            purpose: new.purpose,
            amount: asked.amount,
            fee: new.fee,
            fee_included: asked.input.fee_included.unwrap_or(false),
            payout: new.payout,
            history: History::begin(status, asked.caller, now),
            approval: Approval::under(new.policy, asked.amount),
            gateway: None,
            reference: None,
            due_at: status.deadline(now),
            records: vec![],
            conflict: None,
            confirmation: None,
            stamp: Stamp::new(tx, asked.input.external_id.as_ref(), &asked.input.metadata),
        };
        let (entry_type, category) = match withdrawal.kind() {
            WithdrawalType::CashOut | WithdrawalType::Tax => (EntryType::Debit, built_in::WITHDRAWAL),
            WithdrawalType::Fee => (EntryType::Fee, built_in::FEE),
        };
        let status = match status {
            WithdrawalStatus::Completed => TransactionStatus::Completed,
            _ => TransactionStatus::Pending,
        };
        let narration = narration(&withdrawal.purpose);
        let left = self.balances.balances(tx, asked.client, asked.user, asked.amount.currency())?;
        let records = [
            (entry_type, new.payout, category, narration.as_str()),
            (EntryType::Fee, new.fee, built_in::FEE, "Withdrawal fee"),
        ];
        for (entry_type, amount, category, narration) in records.into_iter().filter(|it| !it.1.is_zero()) {
            let record = NewTransaction {
                user: asked.user,
                entry_type,
                amount,
                balance_after: left.available,
                status,
                category,
                narration,
                cause: new.id.to_string(),
                entry: new.entry,
            };
            withdrawal.records.push(self.transactions.record(tx, asked.caller, asked.client, record)?);
        }
        repository::insert(tx, asked.client, &withdrawal)?;
        announce(tx, asked.caller, &withdrawal)?;
        Ok(withdrawal)
    }

    /// Where to pay to. Keys say it, but not for who holds them; users, staff too, name a beneficiary. Whoever named
    /// it, a beneficiary is paid only from its `ready_at` on: that is what protects a user whose account somebody else
    /// got into.
    fn destination(&self, tx: &ReadTx, asked: &Asked<'_>) -> Result<(Method, Option<BeneficiaryId>)> {
        match (&asked.input.method, asked.input.beneficiary_id) {
            (Some(method), _)
                if !matches!(asked.caller.actor(), Actor::User(_))
                    && !self.is_for_itself(tx, asked.caller, asked.user)? =>
            {
                Ok((method.clone(), None))
            }
            (_, None) => Err(WithdrawalRefusal::BeneficiaryRequired.into()),
            (_, Some(id)) => {
                let beneficiary = repository::beneficiary(tx, asked.client, id)?;
                if beneficiary.user != asked.user {
                    return Err(ApiRefusal::NotFound.into());
                }
                let ready_at = beneficiary.ready_at().ok_or(WithdrawalRefusal::BeneficiaryUnconfirmed)?;
                if tx.now() < ready_at {
                    return Err(WithdrawalRefusal::BeneficiaryNotReady { ready_at }.into());
                }
                Ok((beneficiary.method, Some(id)))
            }
        }
    }
}

/// What a new withdrawal has besides what was asked.
struct New {
    id: WithdrawalId,
    purpose: Purpose,
    fee: Amount,
    payout: Amount,
    policy: ApprovalPolicy,
    /// The entry that moved the money first.
    entry: EntryId,
}

/// Which fields go together.
fn check_shape(input: &WithdrawalIn, reach: Reach) -> Result<()> {
    let given = [
        ("beneficiary_id", input.beneficiary_id.is_some()),
        ("method", input.method.is_some()),
        ("fee_included", input.fee_included.is_some()),
        ("reason", input.reason.is_some()),
    ];
    let given: Vec<&str> = given.into_iter().filter(|it| it.1).map(|it| it.0).collect();
    let not_allowed = |name: &str| Flaw::new(name, "not_allowed", format!("not with {}", input.kind()));
    let mut flaws = vec![];
    match input.kind() {
        WithdrawalType::CashOut => {
            flaws.extend(given.contains(&"reason").then(|| not_allowed("reason")));
            match (given.contains(&"beneficiary_id"), given.contains(&"method")) {
                (true, true) => {
                    flaws.push(Flaw::new("method", "not_allowed", "`beneficiary_id` says it already"));
                }
                (false, false) => {
                    flaws.push(Flaw::new("beneficiary_id", "required", "is required, or `method`"));
                }
                _ => {}
            }
        }
        WithdrawalType::Fee | WithdrawalType::Tax => {
            if reach != Reach::Any {
                flaws.push(Flaw::new("type", "not_allowed", "only staff take charges"));
            }
            flaws.extend(given.iter().filter(|it| **it != "reason").map(|it| not_allowed(it)));
            if !given.contains(&"reason") {
                flaws.push(Flaw::new("reason", "required", "say what is charged"));
            }
        }
    }
    if flaws.is_empty() { Ok(()) } else { Err(Flawed(flaws).into()) }
}
