//! One double for all that withdrawals call: a client with one user, its books, one gateway.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
};

use zeroize::Zeroizing;

use crate::kernel::{
    api::{
        call::{Caller, found},
        object::{Stamp, Times},
        principal::{Actor, ClientId, Grants, UserId},
    },
    clock::Time,
    error::{Result, fault},
    id::Id,
    money::{Amount, Currency, CurrencyCode, Percent},
    store::{ReadTx, WriteTx},
};
use crate::modules::{
    balance::contract::*, client::contract::*, currency::contract::*, payment::contract::*,
    pricing::contract::*, transaction::contract::*, user::contract::*,
};

/// The id of this type that ends in `last`.
pub fn id<T: Id>(last: u8) -> T {
    let mut bytes = [0; 16];
    bytes[15] = last;
    T::from_bytes(bytes)
}

pub fn currency(code: &str) -> Currency {
    Currency { code: code.parse().unwrap(), decimals: 2 }
}

/// Minor units of USD.
pub fn usd(minor: i128) -> Amount {
    Amount::new(minor, currency("USD")).unwrap()
}

/// What there is around withdrawals, and what they did to it.
pub struct World(Mutex<State>);

pub struct State {
    pub settings: Settings,
    pub fee: i128,
    pub status: UserStatus,
    /// Minor units by account: of USD and EUR alike.
    pub accounts: BTreeMap<String, i128>,
    pub holds: BTreeMap<HoldId, Hold>,
    /// How often each hold was captured or released.
    pub ended: BTreeMap<HoldId, u32>,
    pub records: BTreeMap<TransactionId, (EntryType, i128, TransactionStatus)>,
    /// What the gateway was asked to pay.
    pub payouts: Vec<PayoutRequest>,
    pub gateway_says: PayoutOutcome,
}

pub const AVAILABLE: &str = "available";

impl World {
    pub fn new() -> World {
        World(Mutex::new(State {
            settings: Settings::for_new_client(ClientMode::Live, currency("USD")).unwrap(),
            fee: 0,
            status: UserStatus::Active,
            accounts: BTreeMap::from([(AVAILABLE.to_owned(), 2_000_00)]),
            holds: BTreeMap::new(),
            ended: BTreeMap::new(),
            records: BTreeMap::new(),
            payouts: vec![],
            gateway_says: PayoutOutcome::Completed { reference: "G-1".into() },
        }))
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What an account holds: `available`, `fee_income`, `tax`, `payout`.
    pub fn of(&self, account: &str) -> i128 {
        self.accounts.get(account).copied().unwrap_or(0)
    }

    pub fn held(&self) -> i128 {
        self.holds.values().map(|it| it.remaining.minor()).sum()
    }

    pub fn records(&self) -> Vec<(EntryType, i128, TransactionStatus)> {
        self.records.values().copied().collect()
    }

    fn apply(&mut self, lines: &[Line]) -> Result<()> {
        for line in lines {
            let name = match line.account.owner {
                AccountOwner::User(_, kind) => kind.to_string(),
                AccountOwner::House(HouseAccount::PayoutClearing(_)) => "payout".to_owned(),
                AccountOwner::House(house) => house.to_string(),
            };
            let balance = self.of(&name) + line.delta;
            if balance < 0 && line.account.user_id().is_some() {
                let currency = line.account.currency;
                let (available, wanted) = (self.of(&name), -line.delta);
                return Err(BalanceRefusal::InsufficientFunds {
                    available: Amount::new(available, currency)?.into(),
                    wanted: Amount::new(wanted, currency)?,
                    currency: currency.code,
                }
                .into());
            }
            self.accounts.insert(name, balance);
        }
        Ok(())
    }

    /// Closes an open hold; a fault when it was closed before.
    fn end(&mut self, hold: HoldId) -> Result<Hold> {
        *self.ended.entry(hold).or_default() += 1;
        let found = self.holds.get_mut(&hold).filter(|it| it.is_open);
        let hold = found.ok_or_else(|| fault!("{hold} is not open"))?;
        let before = hold.clone();
        hold.is_open = false;
        hold.remaining = Amount::zero(hold.remaining.currency());
        Ok(before)
    }
}

fn posted(tx: &mut WriteTx) -> Posted {
    Posted { id: tx.new_id(), number: 1, at: tx.now(), balances: vec![] }
}

const UNASKED: &str = "withdrawals do not ask this";

impl BalanceContract for World {
    fn post(&self, tx: &mut WriteTx, _: ClientId, entry: NewEntry<'_>) -> Result<Posted> {
        assert_eq!(entry.lines.iter().map(|it| it.delta).sum::<i128>(), 0);
        self.state().apply(entry.lines)?;
        Ok(posted(tx))
    }

    fn hold(
        &self,
        tx: &mut WriteTx,
        _: ClientId,
        user: UserId,
        amount: Amount,
        cause: String,
        _: &str,
    ) -> Result<(Hold, Posted)> {
        let available = Account::user(user, UserAccount::Available, amount.currency());
        self.state().apply(&[Line::lower(available, amount)])?;
        let hold = Hold {
            id: tx.new_id(),
            user,
            remaining: amount,
            original: amount,
            cause,
            is_open: true,
            created_at: tx.now(),
        };
        self.state().holds.insert(hold.id, hold.clone());
        Ok((hold, posted(tx)))
    }

    fn capture(
        &self,
        tx: &mut WriteTx,
        _: ClientId,
        hold: HoldId,
        lines: &[Line],
        is_final: bool,
        _: &str,
    ) -> Result<(Hold, Posted)> {
        let mut state = self.state();
        let hold = state.end(hold)?;
        let captured: i128 = lines.iter().map(|it| it.delta).sum();
        assert_eq!((captured, is_final), (hold.remaining.minor(), true), "all of it, at once");
        state.apply(lines)?;
        Ok((hold, posted(tx)))
    }

    fn release(&self, tx: &mut WriteTx, _: ClientId, hold: HoldId, _: &str) -> Result<(Hold, Posted)> {
        let mut state = self.state();
        let hold = state.end(hold)?;
        let available = Account::user(hold.user, UserAccount::Available, hold.remaining.currency());
        state.apply(&[Line::raise(available, hold.remaining)])?;
        Ok((hold, posted(tx)))
    }

    fn find_hold(&self, _: &ReadTx, _: ClientId, hold: HoldId) -> Result<Option<Hold>> {
        Ok(self.state().holds.get(&hold).cloned())
    }

    fn balances(&self, _: &ReadTx, _: ClientId, _: UserId, currency: Currency) -> Result<Balances> {
        let available = Amount::new(self.state().of(AVAILABLE), currency)?.into();
        let zero = Amount::zero(currency);
        Ok(Balances { available, held: zero, invested: zero, commission: zero })
    }

    fn account(&self, _: &ReadTx, _: ClientId, _: Account) -> Result<Option<AccountState>> {
        unreachable!("{UNASKED}")
    }
    fn account_by_id(&self, _: &ReadTx, _: ClientId, _: AccountId) -> Result<Option<AccountState>> {
        unreachable!("{UNASKED}")
    }
    fn lines_of(&self, _: &ReadTx, _: ClientId, _: EntryId) -> Result<Option<Vec<Line>>> {
        unreachable!("{UNASKED}")
    }
}

impl CurrencyContract for World {
    fn active(&self, _: &ReadTx, _: ClientId, code: CurrencyCode) -> Result<Currency> {
        if ["USD", "EUR"].contains(&code.as_str()) {
            return Ok(currency(code.as_str()));
        }
        Err(CurrencyRefusal::CurrencyInactive { currency: code }.into())
    }
    fn known(&self, _: &ReadTx, _: CurrencyCode) -> Result<Option<Currency>> {
        unreachable!("{UNASKED}")
    }
    fn is_crypto(&self, _: &ReadTx, _: CurrencyCode) -> Result<bool> {
        unreachable!("{UNASKED}")
    }
    fn default_of(&self, _: &ReadTx, _: ClientId) -> Result<Currency> {
        unreachable!("{UNASKED}")
    }
    fn use_currency(&self, _: &mut WriteTx, _: CurrencyCode) -> Result<()> {
        unreachable!("{UNASKED}")
    }
    fn set_up_client(&self, _: &mut WriteTx, _: ClientId, _: CurrencyCode) -> Result<()> {
        unreachable!("{UNASKED}")
    }
    fn activate(&self, _: &mut WriteTx, _: ClientId, _: CurrencyCode) -> Result<()> {
        unreachable!("{UNASKED}")
    }
}

impl ClientContract for World {
    fn get(&self, _: &ReadTx, client: ClientId) -> Result<Client> {
        Ok(Client {
            id: client,
            name: "Acme".into(),
            slug: "acme".into(),
            mode: ClientMode::Live,
            is_active: true,
            settings: self.state().settings.clone(),
            times: Times::at(Time::ZERO),
        })
    }
    fn secret(&self, _: &ReadTx, _: ClientId, _: &str) -> Result<Option<Zeroizing<Vec<u8>>>> {
        unreachable!("{UNASKED}")
    }
    fn same_person(&self, _: &ReadTx, _: ClientId, a: Actor, b: Actor) -> Result<bool> {
        Ok(a == b)
    }
    fn all(&self, _: &ReadTx) -> Result<Vec<ClientId>> {
        Ok(vec![id(1)])
    }
}

impl PricingContract for World {
    fn fee(&self, _: &ReadTx, _: ClientId, question: &FeeQuestion<'_>) -> Result<FeeFound> {
        assert_eq!(question.operation, FeeOperation::Withdrawal);
        let fee = Amount::new(self.state().fee, question.amount.currency())?;
        Ok(FeeFound { fee, rule: None })
    }
    fn spread(&self, _: &ReadTx, _: ClientId, _: CurrencyCode, _: CurrencyCode, _: &str) -> Result<Percent> {
        unreachable!("{UNASKED}")
    }
    fn plan(&self, _: &ReadTx, _: ClientId, _: PlanId) -> Result<PlanInfo> {
        unreachable!("{UNASKED}")
    }
    fn check_plan_takes(&self, _: &ReadTx, _: ClientId, _: PlanId, _: Amount) -> Result<()> {
        unreachable!("{UNASKED}")
    }
    fn published_version(&self, _: &ReadTx, _: ClientId, _: PlanId) -> Result<Option<PlanId>> {
        unreachable!("{UNASKED}")
    }
}

impl UserContract for World {
    fn find(&self, _: &ReadTx, _: ClientId, user: UserId) -> Result<Option<User>> {
        let known = User {
            id: id(2),
            email: "ann@example.com".into(),
            pending_email: None,
            first_name: "Ann".into(),
            last_name: "Lee".into(),
            phone: None,
            status: self.state().status,
            roles: vec![],
            tier: "standard".into(),
            referral_code: "ANN".into(),
            referred_by: None,
            stamp: Stamp::at(Time::ZERO),
        };
        Ok(Some(known).filter(|it| it.id == user))
    }
    fn grants_of(&self, _: &ReadTx, _: ClientId, _: Actor) -> Result<Option<Grants>> {
        Ok(Some(Grants::All))
    }
    fn get(&self, tx: &ReadTx, client: ClientId, user: UserId) -> Result<User> {
        found(UserContract::find(self, tx, client, user)?)
    }
    fn freeze(&self, _: &mut WriteTx, _: &Caller, _: ClientId, _: UserId, _: &str) -> Result<bool> {
        self.state().status = UserStatus::Frozen;
        Ok(true)
    }
    fn with_role(
        &self,
        _: &ReadTx,
        _: ClientId,
        _: crate::modules::role::contract::RoleId,
        _: usize,
    ) -> Result<Vec<User>> {
        unreachable!()
    }
    fn find_by_email(&self, _: &ReadTx, _: ClientId, _: &str) -> Result<Option<User>> {
        unreachable!("{UNASKED}")
    }
    fn create(&self, _: &mut WriteTx, _: &Caller, _: ClientId, _: NewUser) -> Result<User> {
        unreachable!("{UNASKED}")
    }
    fn password_hash(&self, _: &ReadTx, _: ClientId, _: UserId) -> Result<Option<String>> {
        unreachable!("{UNASKED}")
    }
    fn set_password_hash(&self, _: &mut WriteTx, _: ClientId, _: UserId, _: String) -> Result<()> {
        unreachable!("{UNASKED}")
    }
    fn show(&self, _: &ReadTx, _: ClientId, _: User) -> Result<UserOut> {
        unreachable!("{UNASKED}")
    }
}

impl TransactionContract for World {
    fn record(
        &self,
        tx: &mut WriteTx,
        _: &Caller,
        _: ClientId,
        new: NewTransaction<'_>,
    ) -> Result<TransactionId> {
        let id = tx.new_id();
        self.state().records.insert(id, (new.entry_type, new.amount.minor(), new.status));
        Ok(id)
    }
    fn post(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        entry: NewEntry<'_>,
        records: &[Record<'_>],
    ) -> Result<(EntryId, Vec<TransactionId>)> {
        let (cause, entry) = (entry.cause.clone(), BalanceContract::post(self, tx, client, entry)?.id);
        let mut written = vec![];
        for Record { user, entry_type, amount, category, narration } in records.iter().copied() {
            let balance_after = self.balances(tx, client, user, amount.currency())?.available;
            let (status, cause) = (TransactionStatus::Completed, cause.clone());
            let new = NewTransaction {
                user,
                entry_type,
                amount,
                balance_after,
                status,
                category,
                narration,
                cause,
                entry,
            };
            written.push(self.record(tx, caller, client, new)?);
        }
        Ok((entry, written))
    }
    fn follow(
        &self,
        _: &mut WriteTx,
        _: ClientId,
        transaction: TransactionId,
        status: TransactionStatus,
        _: EntryId,
    ) -> Result<()> {
        let mut state = self.state();
        let record = state.records.get_mut(&transaction);
        record.ok_or_else(|| fault!("{transaction} is no record"))?.2 = status;
        Ok(())
    }
    fn find(&self, _: &ReadTx, _: ClientId, _: TransactionId) -> Result<Option<Transaction>> {
        unreachable!("{UNASKED}")
    }
}

impl PaymentContract for World {
    fn payout_gateway(
        &self,
        _: &mut WriteTx,
        _: ClientId,
        named: Option<GatewayId>,
        _: Amount,
    ) -> Result<GatewayInfo> {
        if named.is_some_and(|it| it != id(3)) {
            return Err(PaymentRefusal::GatewayUnavailable { reason: "it is not active".into() }.into());
        }
        Ok(GatewayInfo { id: id(3), kind: GatewayKind::Sandbox, slug: "sandbox".into() })
    }
    fn payout_access(&self, _: &ReadTx, _: ClientId, _: &GatewayInfo) -> Result<GatewayAccess> {
        Ok(GatewayAccess::default())
    }
    fn payout(
        &self,
        _: GatewayInfo,
        _: GatewayAccess,
        request: PayoutRequest,
    ) -> Pin<Box<dyn Future<Output = PayoutOutcome> + Send>> {
        let mut state = self.state();
        state.payouts.push(request);
        let outcome = state.gateway_says.clone();
        Box::pin(async move { outcome })
    }
    fn ask_payout(
        &self,
        _: GatewayInfo,
        _: GatewayAccess,
        _: PayoutRequest,
        _: Option<String>,
    ) -> Pin<Box<dyn Future<Output = PayoutOutcome> + Send>> {
        unreachable!("{UNASKED}")
    }
    fn note_payout(&self, _: &mut WriteTx, _: ClientId, _: GatewayId, _: &PayoutOutcome) -> Result<()> {
        Ok(())
    }
    fn create(&self, _: &mut WriteTx, _: &Caller, _: ClientId, _: NewPayment) -> Result<PaymentInfo> {
        unreachable!("{UNASKED}")
    }
    fn get(&self, _: &ReadTx, _: ClientId, _: PaymentId) -> Result<PaymentInfo> {
        unreachable!("{UNASKED}")
    }
    fn cancel(&self, _: &mut WriteTx, _: &Caller, _: ClientId, _: PaymentId) -> Result<()> {
        unreachable!("{UNASKED}")
    }
}

impl LimitContract for World {
    fn take(&self, _: &mut WriteTx, _: ClientId, _: LimitUse, _: &str) -> Result<()> {
        Ok(())
    }

    fn give_back(&self, _: &mut WriteTx, _: ClientId, _: LimitUse, _: Time) -> Result<()> {
        Ok(())
    }

    fn count_again(&self, _: &mut WriteTx, _: ClientId, _: LimitUse, _: Time) -> Result<()> {
        Ok(())
    }
}
