//! The seventeen capabilities Coffer was founded on, each with the tests that show it. A test that is named here exists:
//! one that is renamed or removed has to be replaced.

use std::{collections::BTreeSet, fs, path::Path};

/// Number, capability, and `file: test` of what shows it.
const CAPABILITIES: &[(u8, &str, &[&str])] = &[
    (
        1,
        "modules are self-contained and registered on boot, in an order that is their priority",
        &[
            "tests/tidy.rs: every_folder_is_registered_and_every_registered_module_has_a_folder",
            "tests/tidy.rs: a_module_uses_only_the_contracts_above_it_and_anyones_events",
            "tests/it/module.rs: what_is_switched_off_has_no_routes_and_hears_nothing",
        ],
    ),
    (
        2,
        "modules, their health, routes, migrations and configuration can be looked at",
        &[
            "tests/it/gateway_routes.rs: the_public_learns_that_it_runs_and_the_operator_learns_how",
            "tests/it/cli.rs: every_command_answers_json_with_a_server_and_without",
        ],
    ),
    (
        3,
        "contracts are injected by interface and have test doubles",
        &[
            "src/homes/tests.rs: every_module_that_is_said_to_be_free_is_one",
            "src/modules/transaction/service/tests.rs: a_transfer_between_users_changes_eleven_rows",
        ],
    ),
    (
        4,
        "services are found by name",
        &["tests/it/cli.rs: every_command_answers_json_with_a_server_and_without"],
    ),
    (
        5,
        "events in modes sync, queue and scheduled, configured per event and per listener",
        &[
            "src/kernel/events/tests/inside.rs: a_listener_configured_to_sync_runs_in_the_transaction",
            "src/kernel/events/tests/inside.rs: an_event_is_heard_once_after_its_commit",
            "src/kernel/events/tests/inside.rs: a_scheduled_listener_gathers_until_its_instant",
            "src/kernel/events/tests/inside.rs: a_failing_listener_is_tried_exactly_when_configured_and_then_dead",
            "src/kernel/events/tests/inside.rs: a_listener_that_is_too_slow_has_no_effect",
        ],
    ),
    (
        6,
        "notification events say type, entity, recipient, channels, words and action",
        &[
            "tests/it/notification.rs: people_are_told_as_they_prefer",
            "tests/it/events.rs: every_event_type_has_a_schema_and_its_listeners",
        ],
    ),
    (
        7,
        "a durable outbox with dedupe keys, processed by a timer and by hand",
        &[
            "tests/it/cli_events.rs: mails_are_sent_by_hand_as_many_as_asked_for_where_the_server_leaves_them_alone",
            "src/kernel/events/tests/inside.rs: a_dedupe_key_lasts_as_long_as_its_policy_says",
            "src/kernel/events/tests/outside.rs: a_crash_between_sending_and_noting_repeats_it_under_the_same_id_and_uses_no_try",
        ],
    ),
    (
        8,
        "channels database, mail, sms and webhook",
        &[
            "tests/it/channels.rs: each_channel_fails_for_itself",
            "tests/it/mail.rs: each_of_what_matters_arrives_once_as_text_and_html",
            "tests/it/sms.rs: a_message_has_the_form_the_provider_wants_and_comes_again_until_it_is_taken",
            "tests/it/webhook.rs: an_event_reaches_each_endpoint_that_wants_it_once_and_signed",
        ],
    ),
    (
        9,
        "commands that list, make, migrate and roll back modules",
        &[
            "tests/it/module.rs: a_module_is_written_into_a_checkout_and_nowhere_else",
            "tests/it/module.rs: migrations_are_undone_and_done_again_while_no_server_runs",
            "tests/it/cli.rs: every_command_answers_json_with_a_server_and_without",
        ],
    ),
    (
        10,
        "the gateway's status, health and modules",
        &["tests/it/gateway_routes.rs: the_public_learns_that_it_runs_and_the_operator_learns_how"],
    ),
    (
        11,
        "routes per module under /api/v1",
        &[
            "tests/it/golden.rs: routes_events_tables_refusals_and_machines_are_what_they_were",
            "tests/it/permissions.rs: every_status_and_code_of_the_document_exists",
        ],
    ),
    (
        12,
        "migrations per module, with rollback",
        &[
            "tests/it/module.rs: migrations_are_undone_and_done_again_while_no_server_runs",
            "src/modules/dashboard/migrations.rs: what_was_counted_is_counted_again_from_the_events",
        ],
    ),
    (
        13,
        "an id names its entity",
        &[
            "tests/it/cli.rs: every_command_answers_json_with_a_server_and_without",
            "tests/it/questions.rs: an_unknown_account_and_another_clients_are_the_same_404",
        ],
    ),
    (
        14,
        "configuration, database connection and table prefix per module",
        &[
            "tests/it/module.rs: the_market_lives_in_a_file_of_its_own",
            "tests/it/notification_file.rs: cut_off_between_the_two_files_an_event_is_told_once",
            "tests/it/module.rs: a_module_pinned_to_the_books_says_so_when_it_is_configured_elsewhere",
            "src/homes/tests.rs: a_prefix_renames_tables_in_the_one_file_too",
        ],
    ),
    (
        15,
        "keys with scopes, tenants apart",
        &[
            "tests/it/permissions.rs: no_operation_answers_a_wrong_credential",
            "tests/it/permissions.rs: a_list_of_another_client_is_empty",
            "tests/it/client.rs: nobody_makes_a_key_that_may_do_more_than_they_may",
        ],
    ),
    (
        16,
        "the modules",
        &[
            "tests/it/currency.rs: the_operator_keeps_the_catalogue",
            "tests/it/category.rs: a_client_makes_renames_and_deletes_its_own",
            "tests/it/role.rs: a_client_makes_roles_of_what_there_is",
            "tests/it/client.rs: an_operator_makes_a_client_and_sees_its_keys_once",
            "tests/it/user.rs: states_move_as_the_table_says_and_a_repeat_changes_nothing",
            "tests/it/auth.rs: a_user_registers_signs_in_looks_and_leaves",
            "tests/it/market.rs: a_price_is_taken_or_refused_with_an_event",
            "tests/it/balance.rs: a_past_balance_is_what_it_was_and_the_statement_adds_up_page_by_page",
            "tests/it/transaction.rs: lists_show_what_the_filters_say_newest_first",
            "tests/it/payment.rs: every_magic_amount_of_the_sandbox_ends_where_it_says",
            "tests/it/funding.rs: a_deposit_is_asked_for_paid_and_credited",
            "tests/it/withdrawal.rs: a_user_withdraws_its_own_money_to_its_own_beneficiary",
            "tests/it/swap.rs: a_quote_promises_and_a_swap_keeps_the_promise",
            "tests/it/pricing.rs: the_rule_that_names_most_decides_and_the_preview_says_what_is_charged",
            "tests/it/investment.rs: it_earns_week_by_week_what_the_preview_said_and_comes_back",
            "tests/it/notification.rs: people_are_told_as_they_prefer",
            "tests/it/dashboard.rs: a_user_a_client_and_the_installation_see_what_happened_to_the_last_digit",
        ],
    ),
    (
        17,
        "each module is tested for itself, listeners and contracts replaced by doubles",
        &[
            "src/modules/withdrawal/tests/create.rs: amount_and_fee_are_held_at_once_on_top_or_included",
            "src/modules/balance/service/tests.rs: the_ledger_agrees_with_a_model_now_and_at_every_past_instant",
        ],
    ),
];

/// The names of the tests in a source file.
fn tests_of(path: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path));
    let text = text.unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut found = BTreeSet::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some(rest) = line.strip_prefix("async fn ").or(line.strip_prefix("fn ")) {
            if is_test {
                found.extend(rest.split('(').next().map(str::to_owned));
            }
            is_test = false;
        }
    }
    found
}

#[test]
fn every_capability_is_shown_by_tests_that_exist() {
    let numbers: Vec<u8> = CAPABILITIES.iter().map(|it| it.0).collect();
    assert_eq!(numbers, (1..=17).collect::<Vec<u8>>());
    for (number, capability, shown_by) in CAPABILITIES {
        assert!(!shown_by.is_empty(), "{number}, {capability}: nothing shows it");
        for test in *shown_by {
            let (path, name) = test.split_once(": ").unwrap();
            let there = tests_of(path);
            assert!(there.contains(name), "{number}, {capability}: {path} has no test {name}: {there:?}");
        }
    }
}
