//! What a deposit hears of its payment: all of it in the payment's own transaction.

use std::sync::Arc;

use super::{model::FundingEvent, service::Fundings};
use crate::{
    kernel::{boot::Boot, events::event::Mode},
    modules::payment::events::{
        PaymentCanceled, PaymentConflicted, PaymentExpired, PaymentFailed, PaymentInitiated, PaymentSettled,
    },
};

pub fn register(boot: &mut Boot, service: &Arc<Fundings>) {
    let fundings = service.clone();
    boot.listen::<PaymentSettled>("funding.payment_settled", Mode::Sync, move |tx, envelope, event| {
        fundings.settled(tx, envelope, event)
    });
    let fundings = service.clone();
    boot.listen::<PaymentInitiated>("funding.payment_initiated", Mode::Sync, move |tx, envelope, event| {
        fundings.moved(tx, envelope, event.payable, FundingEvent::Process, None)
    });
    let fundings = service.clone();
    boot.listen::<PaymentFailed>("funding.payment_failed", Mode::Sync, move |tx, envelope, event| {
        fundings.moved(tx, envelope, event.payable, FundingEvent::Fail, event.reason.as_deref())
    });
    let fundings = service.clone();
    boot.listen::<PaymentCanceled>("funding.payment_canceled", Mode::Sync, move |tx, envelope, event| {
        fundings.moved(tx, envelope, event.payable, FundingEvent::Cancel, event.reason.as_deref())
    });
    let fundings = service.clone();
    boot.listen::<PaymentExpired>("funding.payment_expired", Mode::Sync, move |tx, envelope, event| {
        fundings.moved(tx, envelope, event.payable, FundingEvent::Expire, event.reason.as_deref())
    });
    let fundings = service.clone();
    boot.listen::<PaymentConflicted>("funding.payment_conflicted", Mode::Sync, move |tx, envelope, event| {
        fundings.moved(tx, envelope, event.payable, FundingEvent::Conflict, event.reason.as_deref())
    });
}
