//! What withdrawals and beneficiaries announce.

use serde::{Deserialize, Serialize};

use super::{
    contract::{BeneficiaryId, WithdrawalId},
    model::Withdrawal,
};
use crate::kernel::{
    api::principal::UserId, boot::Boot, clock::Time, events::event::event, money::CurrencyCode,
};
use crate::modules::payment::contract::GatewayId;

/// Lets the events be listed.
pub fn announce(boot: &mut Boot) {
    announce_withdrawals(boot);
    boot.announces::<BeneficiaryCreated>();
    boot.announces::<BeneficiaryDeleted>();
}

macro_rules! withdrawal_events {
    ($($(#[doc = $about:literal])+ $name:ident = $text:literal),* $(,)?) => { $(
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
        pub struct $name {
            pub withdrawal_id: WithdrawalId,
            pub user_id: UserId,
            /// `cash_out`, `fee` or `tax`.
            pub r#type: String,
            /// What was asked for.
            pub amount: String,
            pub fee: String,
            /// What reaches its destination.
            pub payout: String,
            pub currency: CurrencyCode,
            pub gateway_id: Option<GatewayId>,
            /// The gateway's reference.
            pub reference: Option<String>,
            pub reason: Option<String>,
        }
        event!($name, $text, withdrawal_id);

        impl $name {
            pub(super) fn of(withdrawal: &Withdrawal) -> $name {
                let currency = withdrawal.amount.currency();
                $name {
                    withdrawal_id: withdrawal.id,
                    user_id: withdrawal.user,
                    r#type: withdrawal.kind().to_string(),
                    amount: currency.show(withdrawal.amount.minor()),
                    fee: currency.show(withdrawal.fee.minor()),
                    payout: currency.show(withdrawal.payout.minor()),
                    currency: currency.code,
                    gateway_id: withdrawal.gateway.as_ref().map(|it| it.id),
                    reference: withdrawal.reference.clone(),
                    reason: withdrawal.history.last().reason.clone(),
                }
            }
        }
    )*
        fn announce_withdrawals(boot: &mut Boot) {
            $( boot.announces::<$name>(); )*
        }
    };
}

withdrawal_events! {
    /// Somebody wants money paid out; it is held from now on.
    WithdrawalRequested = "withdrawal.requested",
    /// By people, or by the client's rules.
    WithdrawalApproved = "withdrawal.approved",
    /// A person said no. The money is the user's again.
    WithdrawalRejected = "withdrawal.rejected",
    /// Taken back before it was processed. The money is the user's again.
    WithdrawalCanceled = "withdrawal.canceled",
    /// Nobody decided, or processed it, in time. The money is the user's again.
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
}

/// A user may be paid out to a further account from `ready_at` on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BeneficiaryCreated {
    pub beneficiary_id: BeneficiaryId,
    pub user_id: UserId,
    pub ready_at: Time,
}
event!(BeneficiaryCreated, "beneficiary.created", beneficiary_id);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BeneficiaryDeleted {
    pub beneficiary_id: BeneficiaryId,
    pub user_id: UserId,
}
event!(BeneficiaryDeleted, "beneficiary.deleted", beneficiary_id);
