//! The graph, tools, methods and utilities, and what an activation asks of a cycle.

use super::State::{Differs, Instead, Out, There};
use super::{Row, Section, row};

const GRAPH: &[Row] = &[
    row(
        "exactly one trigger, all steps joined",
        There,
        "`graph.triggers`, `graph.unreachable`; one step alone is a cycle too",
        &["every_bad_file_says_what_its_snapshot_says"],
    ),
    row(
        "a trigger that polls on a timer",
        There,
        "any step may be the trigger; `schedule:` begins it",
        &["a_cycle_may_begin_with_any_step_by_its_schedule_or_a_person"],
    ),
    row(
        "one exit; two of a decision and of methods with `action_condition`",
        Differs,
        "`then`, `else` also of lists, and `catch`, the error exit",
        &[
            "every_exit_is_there_with_its_kind",
            "a_permanent_failure_leaves_by_catch_with_the_error",
        ],
    ),
    row(
        "exits that meet at one step",
        There,
        "`graph.runs_twice` warns where branches of one fork do",
        &["every_bad_file_says_what_its_snapshot_says"],
    ),
    row(
        "an exit that leads nowhere ends the transaction",
        There,
        "",
        &["pages_to_the_end_with_each_record_once"],
    ),
    row(
        "no way back but a POST to the own webhook",
        There,
        "`graph.back_edge` says so",
        &["every_bad_file_says_what_its_snapshot_says"],
    ),
    row(
        "several edges out of one exit",
        There,
        "`then: [a, b]`; the branches are children of the run",
        &["a_fork_goes_on_in_the_run_and_begins_another_for_each_other_branch"],
    ),
    row(
        "a running cycle cannot be edited (409)",
        Differs,
        "a file may change at any time: a run ends on its version, the next lap takes the new one",
        &["a_run_ends_on_its_version_and_the_next_lap_takes_the_new_one"],
    ),
];

const TOOLS: &[Row] = &[
    row(
        "Decision",
        There,
        "`use: decision`; every comparison in one [table](comparisons.md)",
        &["a_page_with_more_waits_and_the_timer_is_set"],
    ),
    row(
        "Decision as a filter of records",
        Instead,
        "it chooses a way; `for_each` with a `script` step, or `after_action`, filters",
        &["a_script_runs_once_for_each_item_and_one_that_throws_leaves_nothing_behind"],
    ),
    row(
        "Switch",
        There,
        "`use: switch`, without regard to case",
        &["a_switch_goes_by_the_text_of_its_value_without_regard_to_case"],
    ),
    row(
        "Delay",
        Differs,
        "`use: delay`; to the millisecond, each run by itself, through restarts",
        &[
            "a_kill_in_the_middle_of_a_delay_misses_and_repeats_no_page",
            "a_delay_of_thirty_days_takes_no_time",
        ],
    ),
    row(
        "Wait Until",
        Differs,
        "`use: wait_until`; no retention bounds it",
        &["a_wait_for_a_date_survives_a_crash_and_ends_no_earlier"],
    ),
    row(
        "Wait All",
        Differs,
        "`use: wait_all` waits for the lap; `scope: cycle` is Cyclr's. One of the runs goes on, no new one is made",
        &[
            "of_those_that_come_to_a_wait_for_all_one_goes_on_once",
            "of_all_runs_of_a_cycle_one_goes_on_when_the_last_has_come",
        ],
    ),
    row(
        "no step behind it maps from one before it",
        Differs,
        "`reference.past_wait_all` where runs have each their own; steps before the fork can be read",
        &["every_bad_file_says_what_its_snapshot_says"],
    ),
    row(
        "Annotation",
        There,
        "`note:` of a step, and comments",
        &["every_key_stands_in_a_file"],
    ),
];

const METHODS: &[Row] = &[
    row(
        "type Action",
        There,
        "`kind: request` and `kind: list`",
        &["hubspot_lists_all_contacts_by_its_cursor"],
    ),
    row(
        "type Webhook",
        There,
        "`generic_webhook.webhook`",
        &["curl_d_works_and_the_loop_counts_to_its_end"],
    ),
    row(
        "type WebhookResponse",
        There,
        "`use: respond`",
        &["the_caller_hears_the_first_answer_with_its_headers_and_the_second_goes_to_nobody"],
    ),
    row(
        "type Script",
        There,
        "`use: script` with `fn run()`",
        &["a_script_step_computes_and_what_it_gives_is_its_data"],
    ),
    row(
        "Generic Webhook: DELETE, GET, PATCH, POST, PUT",
        There,
        "`generic_webhook.delete` and so on; `map` is the JSON body",
        &["generic_webhook_sends_each_verb_with_its_body"],
    ),
    row(
        "Generic Webhook: Webhook (IP Filtered)",
        There,
        "`allow_ips`",
        &["addresses_are_believed_to_trusted_proxies_only"],
    ),
    row(
        "custom fields on Webhook and POST",
        There,
        "`fields:` and `map:`",
        &["every_refusal_has_its_status_and_code_and_changes_nothing"],
    ),
    row(
        "installed many times, each with its own storage",
        There,
        "`connections:` in `velodrome.yaml`",
        &["each_method_does_what_it_says_to_its_own_connection"],
    ),
    row(
        "linking cycles by a POST",
        Differs,
        "`${hook:CYCLE}`: one commit with the step's outcome, and nobody must be started first",
        &["a_hand_off_to_another_cycle_is_a_new_loop_with_a_parent"],
    ),
    row(
        "a Webhook in the middle of a cycle",
        Differs,
        "`match` finds the newest waiting run; each wait is answered once, unless `repeat: true`; `timeout`, `resume_url` beside them",
        &[
            "a_request_is_for_the_newest_run_that_it_fits_and_each_is_answered_once",
            "one_that_repeats_answers_each_caller_by_a_child_run",
        ],
    ),
];

const UTILITIES: &[Row] = &[
    row(
        "Cycle and Global Data Storage: Set, Append, Get, Delete Key, Get All Values, Delete All",
        There,
        "`data_storage.set` and so on, `scope: cycle` or `connection`",
        &["each_method_does_what_it_says_to_its_own_connection"],
    ),
    row(
        "Cycle and Global Object Storage",
        Instead,
        "values are any JSON: `data_storage.set` takes an object",
        &["each_method_does_what_it_says_to_its_own_connection"],
    ),
    row(
        "Counter Storage",
        There,
        "`data_storage.increment`, `.decrement`",
        &["a_counter_that_is_no_number_fails_the_step_and_keeps_what_was_before_it"],
    ),
    row(
        "Cross Updating Preventer",
        Instead,
        "the example [`echo_prevention`](../cycles/echo_prevention.yaml)",
        &["the_shipped_cycles_pass_their_tests_the_same_each_time"],
    ),
    row(
        "Entity Cross Reference",
        Instead,
        "`data_storage.set` with the one system's id as the key and the other's as the value",
        &["each_method_does_what_it_says_to_its_own_connection"],
    ),
    row(
        "Generic File",
        Instead,
        "`cyclr_csv_parse` in a `script` step; files are not stored",
        &["csv_is_that_of_rfc_4180"],
    ),
    row(
        "Generic Form",
        Instead,
        "a method with `body: form` in a connector file",
        &["stripe_is_written_to_by_forms_and_once_whatever_comes_back"],
    ),
    row(
        "Data Tools: Regular Expression Match",
        Instead,
        "`pattern` of a webhook's field, or a script",
        &["every_refusal_has_its_status_and_code_and_changes_nothing"],
    ),
    row(
        "Data Tools: E-mail Syntax Check",
        Instead,
        "`pattern` of a webhook's field, or a script",
        &["every_refusal_has_its_status_and_code_and_changes_nothing"],
    ),
    row(
        "Error Webhook",
        There,
        "`error_webhook:` of a cycle or of all",
        &["a_cycle_of_this_server_can_be_told_and_its_own_failures_end_there"],
    ),
    row(
        "Connectivity Tools: HTTP Request",
        There,
        "`generic_webhook`'s verbs with `url`, `query`, `headers`",
        &["generic_webhook_sends_each_verb_with_its_body"],
    ),
    row(
        "Update Last Successful Run Date",
        There,
        "a method of `zoho_crm`; `of:` names the list",
        &["the_last_page_moves_the_watermark_to_the_first_answers_date_and_ends_the_loop"],
    ),
];

const CODES: &[Row] = &[
    row(
        "0 Unknown",
        Out,
        "every fault has a [code](errors/README.md) of its own",
        &[],
    ),
    row(
        "10 at least two steps",
        Differs,
        "`graph.no_steps`: one step is enough",
        BAD,
    ),
    row(
        "11 all connected, one trigger",
        There,
        "`graph.unreachable`, `graph.triggers`",
        BAD,
    ),
    row(
        "20 a connector is not authenticated",
        There,
        "the cycle's state is `needs_connection`, and its webhook answers 409",
        &["a_blank_client_is_asked_for_kept_sealed_and_signed_out_again"],
    ),
    row(
        "30 a mapping is missing",
        There,
        "`step.missing_input`",
        BAD,
    ),
    row(
        "31 no decision criteria",
        There,
        "`field.missing`: `if`",
        BAD,
    ),
    row("32 no delay period", There, "`field.missing`: `for`", BAD),
    row("33 no wait-until date", There, "`field.missing`: `at`", BAD),
    row(
        "40 a parameter's mapping",
        There,
        "`step.missing_input`, `step.input_type`",
        BAD,
    ),
    row(
        "41 a field's mapping",
        There,
        "`step.unknown_input`, `reference.unknown_field`",
        BAD,
    ),
    row(
        "42 a collection key's mapping",
        Out,
        "two lists are never joined behind one's back; a script joins them",
        &[],
    ),
    row(
        "43 a webhook key's mapping",
        There,
        "`match` of a webhook in the middle of a cycle",
        &["a_request_is_for_the_newest_run_that_it_fits_and_each_is_answered_once"],
    ),
    row(
        "50, 51 the left or right operand",
        There,
        "`field.missing`: `left`, `right`",
        BAD,
    ),
    row(
        "60, 61 a delay's unit or interval",
        There,
        "`value.duration`",
        BAD,
    ),
    row(
        "70 a wait's date",
        There,
        "`value.date`; while running `wait.no_date`",
        BAD,
    ),
];

/// The folder of bad files, each with what is said of it.
const BAD: &[&str] = &["every_bad_file_says_what_its_snapshot_says"];

pub(super) const SECTIONS: &[Section] = &[
    Section {
        title: "The graph",
        rows: GRAPH,
    },
    Section {
        title: "Tools",
        rows: TOOLS,
    },
    Section {
        title: "Methods",
        rows: METHODS,
    },
    Section {
        title: "Utilities",
        rows: UTILITIES,
    },
    Section {
        title: "What an activation asks (reason codes)",
        rows: CODES,
    },
];
