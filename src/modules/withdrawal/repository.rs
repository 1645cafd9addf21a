//! The tables of withdrawals.

use super::{
    contract::{BeneficiaryId, WithdrawalId, WithdrawalStatus},
    model::{Beneficiary, Question, Withdrawal},
};
use crate::kernel::{
    api::{
        call::found,
        object::by_external_id,
        principal::{ClientId, UserId},
    },
    clock::Time,
    error::Result,
    store::{Index, Key as _, ReadTx, Table, WriteTx},
};

/// (client, withdrawal) → withdrawal
pub const WITHDRAWALS: Table<(ClientId, WithdrawalId), Withdrawal> = Table::new("withdrawal.withdrawals")
    .with_indexes(&[
        // (client, user) → its withdrawals
        Index::listing(BY_USER, |key, row| vec![(key.0, row.user).to_key()]),
        by_external_id(BY_EXTERNAL_ID),
        // deadline → what is overdue then
        Index::listing(BY_DEADLINE, |_, row| row.due_at.iter().map(Time::to_key).collect()),
        // (client, status) → what is not at its end yet: few among many
        Index::listing(OPEN_BY_STATUS, |key, row| {
            row.status().holds_money().then(|| open_key(key.0, row.status()).to_key()).into_iter().collect()
        }),
        // client → those whose gateway contradicts the books
        Index::listing(CONFLICTED, |key, row| row.conflict.iter().map(|_| key.0.to_key()).collect()),
    ]);
pub const BY_USER: &str = "withdrawal.by_user";
pub const BY_EXTERNAL_ID: &str = "withdrawal.by_external_id";
pub const BY_DEADLINE: &str = "withdrawal.by_deadline";
pub const CONFLICTED: &str = "withdrawal.conflicted";
pub const OPEN_BY_STATUS: &str = "withdrawal.open_by_status";

/// (client, withdrawal) → when its gateway is asked what became of it
pub const QUESTIONS: Table<(ClientId, WithdrawalId), Question> = Table::new("withdrawal.questions")
    .with_indexes(&[
        // when → gateways to be asked
        Index::listing(QUESTIONS_DUE, |_, row| row.due_at.iter().map(Time::to_key).collect()),
    ]);
pub const QUESTIONS_DUE: &str = "withdrawal.questions_due";

/// What [`OPEN_BY_STATUS`] lists by.
pub fn open_key(client: ClientId, status: WithdrawalStatus) -> (ClientId, u8) {
    (client, status as u8)
}

/// (client, beneficiary) → beneficiary
pub const BENEFICIARIES: Table<(ClientId, BeneficiaryId), Beneficiary> =
    Table::new("withdrawal.beneficiaries").with_indexes(&[
        // (client, user) → its beneficiaries
        Index::listing(BENEFICIARIES_BY_USER, |key, row| vec![(key.0, row.user).to_key()]),
        // (client, user, identity of the method) → beneficiary
        Index::lookup("withdrawal.beneficiary_by_method", |key, row| {
            vec![(key.0, row.user, row.method.identity()).to_key()]
        }),
        by_external_id(BENEFICIARIES_BY_EXTERNAL_ID),
        // instant → what nobody has confirmed until then
        Index::listing(BENEFICIARIES_BY_DEADLINE, |_, row| {
            row.confirm_by().iter().map(Time::to_key).collect()
        }),
    ]);
pub const BENEFICIARIES_BY_USER: &str = "withdrawal.beneficiary_by_user";
pub const BENEFICIARIES_BY_DEADLINE: &str = "withdrawal.beneficiary_by_deadline";
pub const BENEFICIARIES_BY_EXTERNAL_ID: &str = "withdrawal.beneficiary_by_external_id";

/// The withdrawal; `not_found` for unknown ones and other clients'.
pub fn get(tx: &ReadTx, client: ClientId, id: WithdrawalId) -> Result<Withdrawal> {
    found(tx.get(&WITHDRAWALS, &(client, id))?)
}

/// Stores a new one.
pub fn insert(tx: &mut WriteTx, client: ClientId, withdrawal: &Withdrawal) -> Result<()> {
    tx.insert(&WITHDRAWALS, &(client, withdrawal.id), withdrawal)
}

pub fn put(tx: &mut WriteTx, client: ClientId, withdrawal: &Withdrawal) -> Result<()> {
    tx.put(&WITHDRAWALS, &(client, withdrawal.id), withdrawal)
}

/// The beneficiary; `not_found` for unknown ones and other clients'.
pub fn beneficiary(tx: &ReadTx, client: ClientId, id: BeneficiaryId) -> Result<Beneficiary> {
    found(tx.get(&BENEFICIARIES, &(client, id))?)
}

pub fn beneficiary_by_method(
    tx: &ReadTx,
    client: ClientId,
    user: UserId,
    identity: [u8; 16],
) -> Result<Option<BeneficiaryId>> {
    let key = (client, user, identity);
    Ok(tx.find(&BENEFICIARIES, "withdrawal.beneficiary_by_method", &key)?.map(|it| it.0.1))
}
