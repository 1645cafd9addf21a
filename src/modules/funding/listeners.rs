//! What a deposit hears of its payment, all of it in the payment's own transaction; and, when it is completed, who
//! brought its user.

use std::sync::Arc;

use super::{model::FundingEvent, service::Fundings};
use crate::{
    kernel::{boot::Boot, events::event::Mode},
    modules::payment::events::{PaymentCanceled, PaymentConflicted, PaymentExpired, PaymentFailed},
};

/// Hears `$event` and moves the funding by `$move`.
macro_rules! follows {
    ($boot:ident, $service:ident, $($name:literal: $event:ty => $move:ident),* $(,)?) => { $(
        $boot.listen_with($service, $name, Mode::Sync, |fundings: &Fundings, tx, envelope, event: $event| {
            fundings.moved(tx, envelope, event.payable, FundingEvent::$move, event.reason.as_deref())
        });
    )* };
}

pub fn register(boot: &mut Boot, service: &Arc<Fundings>) {
    boot.listen_with(service, "funding.payment_settled", Mode::Sync, Fundings::settled);
    boot.listen_with(service, "funding.payment_initiated", Mode::Sync, Fundings::initiated);
    boot.listen_with(service, "funding.reward_referrer", Mode::Queue, Fundings::reward_referrer);
    boot.listen_with(service, "funding.take_commission_back", Mode::Queue, Fundings::reversed);
    boot.listen_with(service, "funding.take_commission_back", Mode::Queue, Fundings::refunded);
    boot.listen_with(service, "funding.take_commission_back", Mode::Queue, Fundings::charged_back);
    boot.listen_with(service, "funding.give_commission_again", Mode::Queue, Fundings::won_back);
    follows! { boot, service,
        "funding.payment_failed": PaymentFailed => Fail,
        "funding.payment_canceled": PaymentCanceled => Cancel,
        "funding.payment_expired": PaymentExpired => Expire,
        "funding.payment_conflicted": PaymentConflicted => Conflict,
    }
}
