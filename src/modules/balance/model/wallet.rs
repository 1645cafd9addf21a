//! A wallet: the accounts of one owner in one currency, in one row.
//!
//! Holding, capturing and showing a user's balances touch several accounts of the same owner; together they cost one
//! read and one write. An account of the house stands alone in its wallet.

use super::chain;
use crate::kernel::{
    api::{input::Named as _, principal::UserId},
    id::Id as _,
    money::{Currency, CurrencyCode},
    store::{
        Key,
        codec::{Decode, Encode, row},
    },
};
use crate::modules::balance::contract::{
    Account, AccountId, AccountOwner, AccountState, HouseAccount, UserAccount,
};

/// Whose accounts, in which currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WalletKey {
    pub owner: Owner,
    pub currency: Currency,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner {
    User(UserId),
    House(HouseAccount),
}

/// The accounts of a wallet, by the position of their kind; `None` for those that never moved.
#[derive(Debug, Clone, Default, PartialEq, Encode, Decode)]
pub struct Wallet {
    accounts: Vec<Option<AccountRow>>,
}
row!(Wallet);

/// An account as stored.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct AccountRow {
    pub id: AccountId,
    pub balance: i128, // Invariant: of users not negative, but for chargebacks.
    /// How many postings it has had.
    pub version: u64,
    /// See `chain.rs`; its top is the entry of the last posting.
    pub stack: Vec<u64>,
}

impl WalletKey {
    pub fn of(account: &Account) -> WalletKey {
        let owner = match account.owner {
            AccountOwner::User(user, _) => Owner::User(user),
            AccountOwner::House(kind) => Owner::House(kind),
        };
        WalletKey { owner, currency: account.currency }
    }

    /// The account of the wallet at this position.
    pub fn account(&self, place: usize) -> Option<Account> {
        match self.owner {
            Owner::User(user) => {
                UserAccount::ALL.get(place).map(|kind| Account::user(user, *kind, self.currency))
            }
            Owner::House(kind) => (place == 0).then(|| Account::house(kind, self.currency)),
        }
    }
}

/// The position of an account in its wallet: stored, never changed.
pub fn kind_of(account: &Account) -> usize {
    match account.owner {
        AccountOwner::User(_, kind) => kind as usize,
        AccountOwner::House(_) => 0,
    }
}

impl Wallet {
    pub fn row(&self, account: &Account) -> Option<&AccountRow> {
        self.accounts.get(kind_of(account))?.as_ref()
    }

    pub fn balance(&self, account: &Account) -> i128 {
        self.row(account).map_or(0, |it| it.balance)
    }

    pub fn state(&self, account: &Account) -> Option<AccountState> {
        let row = self.row(account)?;
        let held = match account.owner {
            AccountOwner::User(user, UserAccount::Available) => {
                self.balance(&Account::user(user, UserAccount::Held, account.currency))
            }
            _ => 0,
        };
        Some(AccountState { id: row.id, account: *account, balance: row.balance, held, version: row.version })
    }

    /// The accounts there are, with their rows.
    pub fn all<'a>(&'a self, key: &'a WalletKey) -> impl Iterator<Item = (Account, &'a AccountRow)> {
        let rows = self.accounts.iter().enumerate();
        rows.filter_map(|(place, row)| Some((key.account(place)?, row.as_ref()?)))
    }

    /// The account's row, made with `id` when it never moved.
    pub fn row_or_open(&mut self, account: &Account, id: impl FnOnce() -> AccountId) -> &mut AccountRow {
        let place = kind_of(account);
        if self.accounts.len() <= place {
            self.accounts.resize(place + 1, None);
        }
        self.accounts[place].get_or_insert_with(|| AccountRow {
            id: id(),
            balance: 0,
            version: 0,
            stack: vec![],
        })
    }
}

impl AccountRow {
    /// The entry that moved it last.
    pub fn last_entry(&self) -> u64 {
        chain::top(&self.stack)
    }
}

/// 26 bytes: whose (1 + 16), which currency (8 + 1). Users stand together, then the house.
impl Key for WalletKey {
    const WIDTH: Option<usize> = Some(26);

    fn write(&self, out: &mut Vec<u8>) {
        let (tag, id) = match self.owner {
            Owner::User(user) => (0, user.bytes()),
            Owner::House(kind) => house_tag(kind),
        };
        out.push(tag);
        out.extend_from_slice(&id);
        self.currency.code.write(out);
        out.push(self.currency.decimals);
    }

    fn read(input: &mut &[u8]) -> Option<Self> {
        let tag = u8::read(input)?;
        let id = <[u8; 16]>::read(input)?;
        let currency = Currency { code: CurrencyCode::read(input)?, decimals: u8::read(input)? };
        let owner =
            if tag == 0 { Owner::User(UserId::from_bytes(id)) } else { Owner::House(house_of(tag, id)?) };
        Some(WalletKey { owner, currency })
    }
}

/// Stored, never changed.
fn house_tag(kind: HouseAccount) -> (u8, [u8; 16]) {
    let alone = |tag| (tag, [0; 16]);
    match kind {
        HouseAccount::Clearing(gateway) => (1, gateway),
        HouseAccount::PayoutClearing(gateway) => (2, gateway),
        HouseAccount::FeeIncome => alone(3),
        HouseAccount::YieldExpense => alone(4),
        HouseAccount::CommissionExpense => alone(5),
        HouseAccount::Fx => alone(6),
        HouseAccount::Suspense => alone(7),
        HouseAccount::Adjustment => alone(8),
        HouseAccount::Rounding => alone(9),
        HouseAccount::Tax => alone(10),
    }
}

fn house_of(tag: u8, id: [u8; 16]) -> Option<HouseAccount> {
    Some(match tag {
        1 => HouseAccount::Clearing(id),
        2 => HouseAccount::PayoutClearing(id),
        3 => HouseAccount::FeeIncome,
        4 => HouseAccount::YieldExpense,
        5 => HouseAccount::CommissionExpense,
        6 => HouseAccount::Fx,
        7 => HouseAccount::Suspense,
        8 => HouseAccount::Adjustment,
        9 => HouseAccount::Rounding,
        10 => HouseAccount::Tax,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::store::codec::golden;

    const HOUSE: &[HouseAccount] = &[
        HouseAccount::Clearing([7; 16]),
        HouseAccount::PayoutClearing([7; 16]),
        HouseAccount::FeeIncome,
        HouseAccount::YieldExpense,
        HouseAccount::CommissionExpense,
        HouseAccount::Fx,
        HouseAccount::Suspense,
        HouseAccount::Adjustment,
        HouseAccount::Rounding,
        HouseAccount::Tax,
    ];

    #[test]
    fn a_key_reads_back_as_the_accounts_it_names() {
        let currency = Currency { code: "USDT".parse().unwrap(), decimals: 6 };
        let user = UserId::from_bytes([3; 16]);
        let mut accounts: Vec<Account> =
            UserAccount::ALL.iter().map(|kind| Account::user(user, *kind, currency)).collect();
        accounts.extend(HOUSE.iter().map(|kind| Account::house(*kind, currency)));
        for account in accounts {
            let key = WalletKey::of(&account);
            assert_eq!(WalletKey::from_key(&key.to_key()), Some(key));
            assert_eq!(key.to_key().len(), 26);
            assert_eq!(key.account(kind_of(&account)), Some(account));
        }
    }

    #[test]
    fn house_accounts_read_back_what_they_show() {
        for kind in HOUSE {
            assert_eq!(kind.to_string().parse(), Ok(*kind));
        }
    }

    #[test]
    fn the_stored_form_stays_what_it_is() {
        let row =
            AccountRow { id: AccountId::from_bytes([1; 16]), balance: -5, version: 3, stack: vec![7, 9] };
        golden("balance.wallets", &Wallet { accounts: vec![None, Some(row)] });
    }
}
