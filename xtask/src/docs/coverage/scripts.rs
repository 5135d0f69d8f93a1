//! Scripts: levels, events, variables, functions, storage, limits.

use super::State::{Differs, Instead, Out, There};
use super::{Row, Section, row};

const LEVELS: &[Row] = &[
    row(
        "a step's script",
        There,
        "JavaScript to the byte, Rhai by default",
        &[
            "cyclrs_own_scripts_turn_the_paging_loop",
            "the_paging_loop_is_known",
        ],
    ),
    row(
        "a connector's and a method's script",
        Differs,
        "`script:` in a connector file; a step does not see their helper functions",
        &[
            "before_goes_from_the_method_to_the_connector_to_the_step_and_after_from_the_connector",
            "a_signature_of_the_method_is_what_leaves",
        ],
    ),
    row(
        "an inline script in a mapping",
        Differs,
        "a value that begins with `=`; names are variables, not merge fields in back-ticks",
        &[
            "values_and_conditions_compute_and_a_fault_is_told_in_the_file",
            "a_step_with_inline_scripts_waits_for_them_and_decides_by_what_they_give",
        ],
    ),
    row(
        "an event that no script defines is passed over",
        There,
        "it counts as true",
        &["both::only_false_is_false"],
    ),
];

const EVENTS: &[Row] = &[
    row(
        "`before_webhook`",
        There,
        "false answers with `method_response`, `method_response_headers`, `statusCode`",
        &["a_webhook_that_answers_itself_or_ignores_passes_a_start_on"],
    ),
    row(
        "`after_webhook`",
        Differs,
        "does not run while a cycle is stopped: nothing is written then",
        &[
            "an_ignored_request_is_200_and_its_loop_has_succeeded",
            "a_stopped_cycle_answers_409_and_a_paused_one_queues",
        ],
    ),
    row(
        "`before_action`",
        There,
        "false fails the step as `script.aborted`",
        &["before_action_false_fails_the_step_without_a_retry"],
    ),
    row(
        "`after_action`, for each page",
        There,
        "",
        &["a_page_of_which_nothing_is_left_is_followed_by_the_next"],
    ),
    row(
        "`after_action_paging`, once",
        There,
        "",
        &["the_watermark_moves_with_success_and_by_hand"],
    ),
    row(
        "`after_error`",
        There,
        "`isWarning` is logged as a warning, `isSuccess` makes `content` the answer",
        &["a_warning_is_told_as_one_and_the_run_goes_on"],
    ),
    row(
        "`action_condition`",
        Differs,
        "of a list, records that do not pass are left out: a run is at one place",
        &[
            "a_condition_of_a_request_chooses_the_exit",
            "a_condition_of_a_list_is_asked_of_each_record_and_action_data_goes_from_page_to_page",
        ],
    ),
    row(
        "`before_oauth2_authorise`",
        There,
        "the host must be one the connector may use",
        &["where_the_browser_is_sent_is_a_scripts_to_change_but_not_to_which_host"],
    ),
    row(
        "`before_oauth2_token`, `after_oauth2_token`",
        There,
        "in a connector's script",
        &["what_a_handler_of_the_sign_in_throws_or_logs_shows_no_secret"],
    ),
    row(
        "`before_oauth2_refresh`, `after_oauth2_refresh`",
        There,
        "in a connector's script",
        &["an_auth_refresh_exception_refreshes_once_and_sends_the_call_again"],
    ),
    row(
        "`AuthRefreshException`",
        There,
        "the call is sent once more, with new tokens",
        &[
            "an_auth_refresh_exception_refreshes_once_and_sends_the_call_again",
            "a_second_one_fails_the_step_and_says_what_to_do",
        ],
    ),
    row(
        "`AuthSessionException`",
        Out,
        "no connector looks up properties behind its installation",
        &[],
    ),
];

/// What one suite shows of every variable, in both languages.
const CHANGED: &[&str] = &["both::variables_are_changed_inside_functions"];

const VARIABLES: &[Row] = &[
    row("`method_request`", There, "always an object", CHANGED),
    row("`method_request_headers`", There, "", CHANGED),
    row("`method_request_parameters`", There, "", CHANGED),
    row(
        "`method_request_mergefields`",
        There,
        "",
        &[
            "action_data_mergefields_and_parameters_reach_from_before_to_after_over_the_commit_of_a_request",
        ],
    ),
    row("`method_response`", There, "", CHANGED),
    row("`method_response_headers`", There, "", CHANGED),
    row("`method_endpoint`", There, "", CHANGED),
    row("`statusCode`, `reasonPhrase`", There, "", CHANGED),
    row("`method_error`", There, "", CHANGED),
    row(
        "`action_data`",
        There,
        "kept through a crash, and from page to page",
        &[
            "action_data_mergefields_and_parameters_reach_from_before_to_after_over_the_commit_of_a_request",
        ],
    ),
    row(
        "`script_parameters`",
        There,
        "inputs with `script: name` in a connector file",
        &[
            "action_data_mergefields_and_parameters_reach_from_before_to_after_over_the_commit_of_a_request",
        ],
    ),
    row("`cycle_variables`", There, "writes are not kept", CHANGED),
    row(
        "`cycle_id`, `cycle_step_id`, `transaction_id`",
        There,
        "",
        &["both::what_the_engine_owns_can_be_read_and_not_changed"],
    ),
    row(
        "`last_successful_run_date`, `next_last_successful_run_date`",
        There,
        "",
        &[
            "both::what_the_engine_owns_can_be_read_and_not_changed",
            "the_watermark_moves_with_success_and_by_hand",
        ],
    ),
    row(
        "`script_execution_context`",
        There,
        "`RUNNING_TRANSACTION`, `STEP_TESTING`; nothing tests a connector without a step",
        &["both::what_the_engine_owns_can_be_read_and_not_changed"],
    ),
    row(
        "`method_response_fields_in_use`",
        There,
        "",
        &["both::what_the_engine_owns_can_be_read_and_not_changed"],
    ),
    row(
        "`method_response_fields`",
        Out,
        "`method_response` tells what is there",
        &[],
    ),
    row(
        "`method_auth_value`",
        Out,
        "credentials are never given to scripts",
        &[],
    ),
    row(
        "`cyclr_account_id`, `external_account_id`",
        Out,
        "one server has one owner",
        &[],
    ),
];

const FUNCTIONS: &[Row] = &[
    row(
        "`http_request`",
        Differs,
        "credentials go to the connection's own hosts only",
        &[
            "a_script_asks_the_world_and_reads_its_answer",
            "credentials_go_to_the_own_hosts_only_and_the_guard_holds",
        ],
    ),
    row(
        "`btoa`, `atob` with charsets",
        There,
        "",
        &[
            "base64_of_a_text_in_each_charset",
            "utf7_is_that_of_rfc_2152",
        ],
    ),
    row(
        "`cyclr_sign`, eight algorithms",
        There,
        "",
        &[
            "hmac_is_that_of_rfc_2202_and_rfc_4231",
            "rsa_is_that_of_wycheproof",
        ],
    ),
    row("`cyclr_csv_parse`", There, "", &["csv_is_that_of_rfc_4180"]),
    row(
        "`cyclr_xml_serialize`, `cyclr_xml_deserialize`",
        There,
        "",
        &["pure_functions_are_there_in_both"],
    ),
    row(
        "`cyclr_storage_*`, `cycle_storage_*`: get, set, append, delete, delete_all, list_keys, list_values, increment, decrement",
        There,
        "and `loop_storage_*`",
        &["both::storage_keeps_types_and_families_apart"],
    ),
    row(
        "`moment`, `CryptoJS`",
        Instead,
        "`Date`, `now()` and `cyclr_sign`; [what to write](scripts.md#javascript)",
        &[
            "time_and_chance_are_those_of_the_call",
            "hmac_is_that_of_rfc_2202_and_rfc_4231",
        ],
    ),
];

const STORAGE: &[Row] = &[
    row(
        "locked to the connector it is called on",
        There,
        "to the connection",
        &["each_method_does_what_it_says_to_its_own_connection"],
    ),
    row(
        "values behave like text",
        Differs,
        "values keep their type",
        &["both::storage_keeps_types_and_families_apart"],
    ),
    row(
        "a key that is missing",
        Differs,
        "null in JavaScript, `()` in Rhai; Cyclr does not say",
        &["a_missing_key_is_named_where_it_is_missed"],
    ),
    row(
        "keys to 128, values to 50,000 characters, 1,000,000 items",
        There,
        "",
        &["a_write_that_is_refused_fails_its_own_step_and_no_other"],
    ),
    row(
        "60 seconds a script",
        Differs,
        "5, a setting: `script_limits.time`; memory, depth and sizes are bounded too",
        &["a_script_that_hangs_ends_and_the_rest_goes_on"],
    ),
];

pub(super) const SECTIONS: &[Section] = &[
    Section {
        title: "Scripts",
        rows: LEVELS,
    },
    Section {
        title: "Events",
        rows: EVENTS,
    },
    Section {
        title: "Variables",
        rows: VARIABLES,
    },
    Section {
        title: "Functions",
        rows: FUNCTIONS,
    },
    Section {
        title: "Script storage and limits",
        rows: STORAGE,
    },
];
