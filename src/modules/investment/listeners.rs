//! What an investment hears of its payment: all of it in the payment's own transaction.

use std::sync::Arc;

use super::service::Investments;
use crate::{
    kernel::{boot::Boot, events::event::Mode},
    modules::payment::events::{PaymentCanceled, PaymentExpired, PaymentFailed},
};

/// Hears `$event`: the payment will not come, so the investment will not be.
macro_rules! cancels {
    ($boot:ident, $service:ident, $($name:literal: $event:ty),* $(,)?) => { $(
        $boot.listen_with($service, $name, Mode::Sync, |investments: &Investments, tx, envelope, event: $event| {
            investments.payment_over(tx, envelope, event.payable.as_deref(), <$event as crate::kernel::events::event::Event>::NAME)
        });
    )* };
}

pub fn register(boot: &mut Boot, service: &Arc<Investments>) {
    boot.listen_with(service, "investment.payment_settled", Mode::Sync, Investments::settled);
    cancels! { boot, service,
        "investment.payment_failed": PaymentFailed,
        "investment.payment_canceled": PaymentCanceled,
        "investment.payment_expired": PaymentExpired,
    }
}
