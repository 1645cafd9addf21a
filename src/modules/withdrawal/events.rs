//! What withdrawals and beneficiaries announce.

use serde::{Deserialize, Serialize};

use super::{
    contract::{BeneficiaryId, WithdrawalId},
    model::Withdrawal,
};
use crate::kernel::{
    api::principal::UserId,
    boot::Boot,
    clock::Time,
    events::event::{event, events},
    money::CurrencyCode,
};
use crate::modules::payment::contract::GatewayId;

/// Lets the events be listed.
pub fn announce(boot: &mut Boot) {
    announced(boot);
    boot.announces::<BeneficiaryCreated>();
    boot.announces::<BeneficiaryConfirmationRequested>();
    boot.announces::<BeneficiaryConfirmed>();
    boot.announces::<BeneficiaryDeleted>();
}

events! {
    withdrawal_id of (row: &Withdrawal) {
        withdrawal_id: WithdrawalId = row.id,
        user_id: UserId = row.user,
        /// `cash_out`, `fee` or `tax`.
        r#type: String = row.kind().to_string(),
        /// What was asked for.
        amount: String = row.amount.digits(),
        fee: String = row.fee.digits(),
        /// What reaches its destination.
        payout: String = row.payout.digits(),
        currency: CurrencyCode = row.amount.currency().code,
        gateway_id: Option<GatewayId> = row.gateway.as_ref().map(|it| it.id),
        /// The gateway's reference.
        reference: Option<String> = row.reference.clone(),
        reason: Option<String> = row.history.last().reason.clone(),
        /// What it has become; empty in what was announced before this was told.
        #[serde(default)]
        status: String = row.status().to_string(),
        /// What its gateway says against the books.
        #[serde(default)]
        conflict: Option<String> = row.conflict.as_ref().map(|it| it.reason.clone()),
        /// What it was before.
        #[serde(default)]
        from_status: Option<String> = row.history.last().from.map(|it| it.to_string()),
    }
    /// Somebody wants money paid out; it is held from now on.
    WithdrawalRequested = "withdrawal.requested",
    /// Its user was mailed what it confirms the withdrawal with.
    WithdrawalConfirmationRequested = "withdrawal.confirmation_requested",
    /// Its user wants it indeed.
    WithdrawalConfirmed = "withdrawal.confirmed",
    /// By people, or by the client's rules.
    WithdrawalApproved = "withdrawal.approved",
    /// A person said no. The money is the user's again.
    WithdrawalRejected = "withdrawal.rejected",
    /// Taken back before it was processed. The money is the user's again.
    WithdrawalCanceled = "withdrawal.canceled",
    /// Nobody confirmed it, decided, or processed it, in time. The money is the user's again.
    WithdrawalExpired = "withdrawal.expired",
    /// A gateway is being asked.
    WithdrawalProcessing = "withdrawal.processing",
    /// It is on its way.
    WithdrawalSent = "withdrawal.sent",
    /// It has arrived; or a charge by staff was taken.
    WithdrawalCompleted = "withdrawal.completed",
    /// Provably not paid out. The money is the user's again.
    WithdrawalFailed = "withdrawal.failed",
    /// Nobody knows what became of it: a person has to find out.
    WithdrawalNeedsReconciliation = "withdrawal.needs_reconciliation",
    /// It had arrived and came back. The payout is the user's again, the fee is kept.
    WithdrawalReturned = "withdrawal.returned",
    /// Its gateway says what cannot be true with what the books say: two people have to find out.
    WithdrawalConflicted = "withdrawal.conflicted",
    /// They found out that the books are right.
    WithdrawalConflictClosed = "withdrawal.conflict_closed",
    /// They found out that it was paid, though its money had been given back: it is taken again.
    WithdrawalFoundPaid = "withdrawal.found_paid",
    /// They found out that it never went, though it counted as arrived: the money is the user's again, the fee too.
    WithdrawalFoundUnpaid = "withdrawal.found_unpaid",
}

/// A user may be paid out to a further account from `ready_at` on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BeneficiaryCreated {
    pub beneficiary_id: BeneficiaryId,
    pub user_id: UserId,
    /// Null until its user has confirmed it.
    pub ready_at: Option<Time>,
}
event!(BeneficiaryCreated, "beneficiary.created", beneficiary_id);

/// Its user was mailed what it confirms the beneficiary with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BeneficiaryConfirmationRequested {
    pub beneficiary_id: BeneficiaryId,
    pub user_id: UserId,
    pub expires_at: Time,
}
event!(BeneficiaryConfirmationRequested, "beneficiary.confirmation_requested", beneficiary_id);

/// Its user wants to be paid out to it indeed: from `ready_at` on it may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BeneficiaryConfirmed {
    pub beneficiary_id: BeneficiaryId,
    pub user_id: UserId,
    pub ready_at: Time,
}
event!(BeneficiaryConfirmed, "beneficiary.confirmed", beneficiary_id);

/// By its user or by staff; or nobody confirmed it in time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BeneficiaryDeleted {
    pub beneficiary_id: BeneficiaryId,
    pub user_id: UserId,
}
event!(BeneficiaryDeleted, "beneficiary.deleted", beneficiary_id);
