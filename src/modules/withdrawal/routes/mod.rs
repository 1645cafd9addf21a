//! Withdrawals and beneficiaries over HTTP.

mod beneficiaries;
mod verbs;
mod withdrawals;

use std::sync::Arc;

use super::service::Withdrawals;
use crate::kernel::api::endpoint::Endpoint;

pub use beneficiaries::{BeneficiaryIn, BeneficiaryOut};
pub use verbs::{
    ConfirmIn, ReconcileOutcome, WithdrawalCancelIn, WithdrawalCompleteIn, WithdrawalProcessIn,
    WithdrawalReconcileIn, WithdrawalResolveIn,
};
pub use withdrawals::{WithdrawalIn, WithdrawalOut};

pub fn endpoints(service: &Arc<Withdrawals>) -> Vec<Endpoint> {
    [withdrawals::endpoints(service), verbs::endpoints(service), beneficiaries::endpoints(service)].concat()
}
