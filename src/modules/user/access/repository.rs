//! What is stored of what waits for a second person.

use super::model::{AccessProposal, AccessProposalId, AccessStatus, Subject};
use crate::kernel::{
    api::principal::ClientId,
    clock::Time,
    error::Result,
    store::{
        Index, Key as _, ReadTx, Table,
        codec::{Decode, Encode, row},
    },
};

/// (client, what would change, user or role) → what waits of it
pub const WAITING: &str = "user.access_proposals_waiting";

/// (client, proposal) → what was asked for, and what became of it.
pub const ACCESS_PROPOSALS: Table<(ClientId, AccessProposalId), AccessProposal> =
    Table::new("user.access_proposals").with_indexes(&[Index::lookup(WAITING, |(client, _), row| match row
        .status()
    {
        AccessStatus::Waiting => {
            let Subject(kind, whose) = row.asked.subject();
            vec![(*client, kind, whose).to_key()]
        }
        _ => vec![],
    })]);

/// client → since when it has had two people who decide over requests. Never taken back.
pub const PAIRS: Table<ClientId, Pair> = Table::new("user.first_pairs");

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Pair {
    pub since: Time,
}
row!(Pair);

/// What waits of a user or a role.
pub fn waiting_of(
    tx: &ReadTx,
    client: ClientId,
    Subject(kind, whose): Subject,
) -> Result<Option<(AccessProposalId, AccessProposal)>> {
    let row = tx.find(&ACCESS_PROPOSALS, WAITING, &(client, kind, whose))?;
    Ok(row.map(|((_, id), row)| (id, row)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::store::codec::golden;

    #[test]
    fn the_stored_form_stays_what_it_is() {
        golden("user.first_pairs", &Pair { since: Time::from_micros(1_795_342_000_000_000) });
    }
}
