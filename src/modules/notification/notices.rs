//! Who is told of what: one row an event.
//!
//! What says the same as another event to the same person is left out: a payment that was for something has no
//! notice of its own, a movement on an account has that of what caused it, and what staff credits or charges is told
//! when it is done. Profit of an investment that comes every day or month is read in its schedule.

use std::sync::Arc;

use super::{
    contract::{
        Channel,
        Channel::{Database, Mail},
        Topic,
    },
    events::{
        BeneficiaryConfirmation, EmailChangeAnnounced, EmailChangeTold, EmailVerification, Invitation,
        PasswordReset, WithdrawalConfirmation,
    },
    notice::{NoticeKind, Notifiable, NotificationEvent},
    service::tell::{Part, Teller},
};
use crate::{
    kernel::{api::principal::UserId, boot::Boot, events::event::Mode},
    modules::{
        auth::events::{
            NewDevice, PasswordChanged, RecoveryCodeUsed, RecoveryCodesMade, RefreshReused,
            RegistrationRepeated, TotpDisabled, TotpEnabled,
        },
        balance::events::BalanceAdjusted,
        client::events::{ApiKeyCreated, ApiKeyExpiring, ApiKeyRevoked, ApiKeyRotated},
        funding::events::{
            FundingCanceled, FundingCompleted, FundingConflicted, FundingExpired, FundingFailed,
            FundingRequested, FundingReversed,
        },
        investment::events::{
            InvestmentActivated, InvestmentCanceled, InvestmentClosed, InvestmentCreated,
            InvestmentDefaultRequested, InvestmentDefaulted, InvestmentEarlyClosed, InvestmentResumed,
            InvestmentSuspended,
        },
        market::events::ProviderFailed,
        payment::events::{
            DisputeDismissed, DisputeInquired, DisputeLost, DisputeOpened, DisputeUnbooked, DisputeWon,
            PaymentConflicted, PaymentExpired, PaymentFailed, PaymentLate,
        },
        swap::events::SwapExecuted,
        user::events::{
            UserDisabled, UserEnabled, UserFrozen, UserRegistered, UserRolesChanged, UserUnfrozen,
        },
        withdrawal::events::{
            BeneficiaryConfirmed, BeneficiaryCreated, BeneficiaryDeleted, WithdrawalApproved,
            WithdrawalCanceled, WithdrawalCompleted, WithdrawalConfirmed, WithdrawalConflicted,
            WithdrawalExpired, WithdrawalFailed, WithdrawalFoundPaid, WithdrawalFoundUnpaid,
            WithdrawalNeedsReconciliation, WithdrawalRejected, WithdrawalRequested, WithdrawalReturned,
            WithdrawalSent,
        },
    },
};

/// A row reads: event, topic, channels, link (where, and what it says), and whom it concerns.
macro_rules! notices {
    ($( $event:ident: $topic:ident, $channels:expr, $action:expr, |$it:ident| $who:expr; )+) => {
        $(
            impl NotificationEvent for $event {
                const TOPIC: Topic = Topic::$topic;
                const CHANNELS: &'static [Channel] = $channels;
                const ACTION: Option<(&'static str, &'static str)> = $action;
                fn notifiable(&self) -> Notifiable {
                    let $it = self;
                    Notifiable::from($who)
                }
            }
        )+

        /// Every event that somebody is told of.
        pub fn kinds() -> Vec<NoticeKind> {
            vec![
                $( NoticeKind::of::<$event>(), )+
                NoticeKind::of_secret::<PasswordReset>(),
                NoticeKind::of_secret::<EmailVerification>(),
                NoticeKind::of_secret::<EmailChangeAnnounced>(),
                NoticeKind::of_secret::<EmailChangeTold>(),
                NoticeKind::of_secret::<Invitation>(),
                NoticeKind::of_secret::<WithdrawalConfirmation>(),
                NoticeKind::of_secret::<BeneficiaryConfirmation>(),
                NoticeKind::of_digest(),
            ]
        }

        /// Hears every one of them, for one part of telling. `name` is stored with deliveries: never renamed.
        fn hear(boot: &mut Boot, teller: &Arc<Teller>, name: &'static str, part: Part) {
            $(
                let telling = teller.clone();
                boot.listen::<$event>(name, Mode::Queue, move |tx, envelope, event| {
                    telling.tell(tx, part, envelope, &event)
                });
            )+
        }
    };
}

/// Hears every event that somebody is told of: in a file of its own in two halves, each in its file, exactly once.
pub fn listen(boot: &mut Boot, teller: &Arc<Teller>) {
    if !boot.lives_alone() {
        return hear(boot, teller, "notification.tell", Part::All);
    }
    boot.beside_outbox(|boot| hear(boot, teller, "notification.tell", Part::Letters));
    hear(boot, teller, "notification.inbox", Part::Inbox);
}

const BOTH: &[Channel] = &[Database, Mail];
const INBOX: &[Channel] = &[Database];
const FUNDING: Option<(&str, &str)> = Some(("/fundings/{entity}", "Show the deposit"));
const WITHDRAWAL: Option<(&str, &str)> = Some(("/withdrawals/{entity}", "Show the withdrawal"));
const BENEFICIARIES: Option<(&str, &str)> = Some(("/beneficiaries", "Show where money may go"));
const PAYMENT: Option<(&str, &str)> = Some(("/payments/{entity}", "Show the payment"));
const DISPUTE: Option<(&str, &str)> = Some(("/disputes/{entity}", "Show the dispute"));
const INVESTMENT: Option<(&str, &str)> = Some(("/investments/{entity}", "Show the investment"));
const KEYS: Option<(&str, &str)> = Some(("/api-keys", "Show the keys"));
const SESSIONS: Option<(&str, &str)> = Some(("/sessions", "Show where you are signed in"));

notices! {
    UserRegistered: Account, BOTH, Some(("/", "Open your account")), |it| it.user_id;
    UserFrozen: Security, BOTH, None, |it| it.user_id;
    UserUnfrozen: Security, BOTH, None, |it| it.user_id;
    UserDisabled: Security, BOTH, None, |it| it.user_id;
    UserEnabled: Security, BOTH, None, |it| it.user_id;
    UserRolesChanged: Security, BOTH, None, |it| it.user_id;
    PasswordChanged: Security, BOTH, SESSIONS, |it| it.user_id;
    RefreshReused: Security, BOTH, SESSIONS, |it| it.user_id;
    NewDevice: Security, BOTH, SESSIONS, |it| it.user_id;
    TotpEnabled: Security, BOTH, SESSIONS, |it| it.user_id;
    TotpDisabled: Security, BOTH, SESSIONS, |it| it.user_id;
    RecoveryCodesMade: Security, BOTH, SESSIONS, |it| it.user_id;
    RecoveryCodeUsed: Security, BOTH, SESSIONS, |it| it.user_id;
    RegistrationRepeated: Security, &[Mail], None, |it| it.user_id;

    FundingRequested: Fundings, INBOX, FUNDING, |it| (it.r#type == "deposit").then_some(it.user_id);
    FundingCompleted: Fundings, BOTH, FUNDING, |it| it.user_id;
    FundingFailed: Fundings, BOTH, FUNDING, |it| it.user_id;
    FundingCanceled: Fundings, INBOX, FUNDING, |it| it.user_id;
    FundingExpired: Fundings, BOTH, FUNDING, |it| it.user_id;
    FundingConflicted: Fundings, BOTH, FUNDING, |it| it.user_id;
    FundingReversed: Fundings, BOTH, FUNDING, |it| it.user_id;

    WithdrawalRequested: Withdrawals, BOTH, WITHDRAWAL, |it| unless_mailed(it);
    WithdrawalConfirmed: Withdrawals, INBOX, WITHDRAWAL, |it| it.user_id;
    WithdrawalApproved: Withdrawals, INBOX, WITHDRAWAL, |it| it.user_id;
    WithdrawalRejected: Withdrawals, BOTH, WITHDRAWAL, |it| it.user_id;
    WithdrawalCanceled: Withdrawals, INBOX, WITHDRAWAL, |it| it.user_id;
    WithdrawalExpired: Withdrawals, BOTH, WITHDRAWAL, |it| it.user_id;
    WithdrawalSent: Withdrawals, INBOX, WITHDRAWAL, |it| it.user_id;
    WithdrawalCompleted: Withdrawals, BOTH, WITHDRAWAL, |it| it.user_id;
    WithdrawalFailed: Withdrawals, BOTH, WITHDRAWAL, |it| it.user_id;
    WithdrawalNeedsReconciliation: Withdrawals, BOTH, WITHDRAWAL, |_it| Notifiable::Admins;
    WithdrawalReturned: Withdrawals, BOTH, WITHDRAWAL, |it| it.user_id;
    WithdrawalConflicted: Withdrawals, BOTH, WITHDRAWAL, |_it| Notifiable::Admins;
    WithdrawalFoundPaid: Withdrawals, BOTH, WITHDRAWAL, |it| it.user_id;
    WithdrawalFoundUnpaid: Withdrawals, BOTH, WITHDRAWAL, |it| it.user_id;
    BeneficiaryCreated: Security, BOTH, BENEFICIARIES, |it| it.ready_at.map(|_| it.user_id);
    BeneficiaryConfirmed: Security, BOTH, BENEFICIARIES, |it| it.user_id;
    BeneficiaryDeleted: Security, BOTH, BENEFICIARIES, |it| it.user_id;

    PaymentFailed: Payments, BOTH, PAYMENT, |it| unless_told(it.payable.as_ref(), it.user_id);
    PaymentExpired: Payments, BOTH, PAYMENT, |it| unless_told(it.payable.as_ref(), it.user_id);
    PaymentConflicted: Payments, BOTH, PAYMENT, |_it| Notifiable::Admins;
    PaymentLate: Payments, BOTH, PAYMENT, |_it| Notifiable::Admins;

    DisputeInquired: Payments, BOTH, DISPUTE, |_it| Notifiable::Admins;
    DisputeUnbooked: Payments, BOTH, DISPUTE, |_it| Notifiable::Admins;
    DisputeOpened: Payments, BOTH, DISPUTE, |_it| Notifiable::Admins;
    DisputeWon: Payments, BOTH, DISPUTE, |it| it.user_id;
    DisputeLost: Payments, BOTH, DISPUTE, |_it| Notifiable::Admins;
    DisputeDismissed: Payments, INBOX, DISPUTE, |_it| Notifiable::Admins;

    InvestmentCreated: Investments, BOTH, INVESTMENT, |it| it.user_id;
    InvestmentActivated: Investments, INBOX, INVESTMENT, |it| it.user_id;
    InvestmentClosed: Investments, BOTH, INVESTMENT, |it| it.user_id;
    InvestmentEarlyClosed: Investments, BOTH, INVESTMENT, |it| it.user_id;
    InvestmentCanceled: Investments, INBOX, INVESTMENT, |it| it.user_id;
    InvestmentSuspended: Investments, BOTH, INVESTMENT, |it| it.user_id;
    InvestmentResumed: Investments, BOTH, INVESTMENT, |it| it.user_id;
    InvestmentDefaultRequested: Investments, BOTH, INVESTMENT, |_it| Notifiable::Admins;
    InvestmentDefaulted: Investments, BOTH, INVESTMENT, |it| it.user_id;
    SwapExecuted: Swaps, BOTH, Some(("/swaps/{entity}", "Show the swap")), |it| it.user_id;

    BalanceAdjusted: Balances, BOTH, Some(("/balances", "Show your balances")), |it| it.user_id;

    ProviderFailed: Markets, BOTH, Some(("/markets/{entity}", "Show the market")), |_it| Notifiable::Admins;

    ApiKeyCreated: Security, BOTH, KEYS, |_it| Notifiable::Admins;
    ApiKeyRotated: Security, BOTH, KEYS, |_it| Notifiable::Admins;
    ApiKeyRevoked: Security, BOTH, KEYS, |_it| Notifiable::Admins;
    ApiKeyExpiring: Security, BOTH, KEYS, |_it| Notifiable::Admins;
}

/// Who has to confirm it is told by the mail to do that; charges are told when they are taken.
fn unless_mailed(it: &WithdrawalRequested) -> Option<UserId> {
    (it.r#type == "cash_out" && it.status != "pending_confirmation").then_some(it.user_id)
}

/// What a payment was for tells its own story.
fn unless_told(payable: Option<&String>, user: Option<UserId>) -> Option<UserId> {
    if payable.is_some() { None } else { user }
}
