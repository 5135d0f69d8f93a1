//! Webhooks, running, errors, splitting, logs, and what Cyclr says when a run fails.

use super::State::{Differs, Instead, Out, There};
use super::{Row, Section, row};

const WEBHOOKS: &[Row] = &[
    row(
        "a fixed URL for each webhook step",
        Differs,
        "`/hooks/{cycle}`, `/hooks/{cycle}/{step}`: by name; `auth` protects it, not its being unknown",
        &["curl_d_works_and_the_loop_counts_to_its_end"],
    ),
    row(
        "a partner webhook: one URL for all accounts",
        Out,
        "one server has one owner",
        &[],
    ),
    row(
        "POST with JSON",
        There,
        "forms too",
        &["curl_d_works_and_the_loop_counts_to_its_end"],
    ),
    row(
        "XML bodies",
        Out,
        "415; a `before_webhook` sees no raw body either",
        &["every_refusal_has_its_status_and_code_and_changes_nothing"],
    ),
    row(
        "the answer says at once whether it was accepted",
        Differs,
        "202 when it is on disk, never before",
        &["what_was_accepted_is_done_once_whatever_happens_to_the_process"],
    ),
    row(
        "Synchronous Response",
        Differs,
        "`respond`; after `respond_within` 504, and the run goes on",
        &[
            "the_caller_hears_the_first_answer_with_its_headers_and_the_second_goes_to_nobody",
            "who_has_waited_long_enough_hears_504_and_a_repeat_the_answer_of_the_run_that_went_on",
        ],
    ),
    row(
        "a stopped cycle refuses",
        Differs,
        "409 `cycle.stopped`, and nothing was written",
        &["a_stopped_cycle_answers_409_and_a_paused_one_queues"],
    ),
    row(
        "signatures checked by a script",
        Instead,
        "`auth:` checks them before anything a user wrote runs",
        &["what_the_senders_own_libraries_sign_is_let_in_and_nothing_else"],
    ),
    row(
        "webhook replay",
        There,
        "`run replay`, also many by filter",
        &["many_are_taken_up_by_filter_and_one_begins_anew_by_replay"],
    ),
    row(
        "a webhook subscribes itself at the service",
        Out,
        "the URL is given to the service by hand, or by a cycle of one's own",
        &[],
    ),
];

const RUNNING: &[Row] = &[
    row(
        "an interval of 1 to 10,080 minutes",
        Differs,
        "`schedule: {every: …}` from a second, and `cron`",
        &[
            "every_five_minutes_is_every_five_minutes",
            "half_past_two_comes_once_on_the_days_when_clocks_change",
        ],
    ),
    row(
        "RunOnce, StartTime",
        Instead,
        "`velodrome trigger`, a `wait_until` as the first step",
        &["trigger_follows_a_loop_and_the_other_commands_show_it"],
    ),
    row(
        "Trigger Skipped while the last run is busy",
        There,
        "`if_running: skip`, or `queue`",
        &[
            "a_start_is_skipped_while_a_loop_is_in_progress",
            "starts_queue_where_the_file_says_so",
        ],
    ),
    row(
        "status Paused after the installation",
        Differs,
        "`autostart: false`; else a cycle runs as soon as its file is there",
        &["a_cycle_that_does_not_start_by_itself_waits_for_a_person"],
    ),
    row(
        "Stop: what runs ends, what is queued stays for 24 hours",
        Differs,
        "`cycle stop`: requests in flight are awaited; the queue stays until `cycle purge`",
        &[
            "stop_before_every_commit",
            "the_word_of_a_person_survives_edits_and_restarts",
        ],
    ),
    row(
        "Finish and Stop",
        There,
        "`cycle stop --finish`; laps go on",
        &["the_word_of_a_person_survives_edits_and_restarts"],
    ),
    row(
        "deleting a cycle removes its transactions",
        There,
        "`cycle delete`",
        &["nothing_is_destroyed_unasked"],
    ),
    row(
        "Test Step",
        There,
        "`step test`; the watermark does not move",
        &["a_list_is_asked_by_its_watermark_and_neither_it_nor_storage_moves"],
    ),
    row(
        "an account's concurrent transaction limit",
        Differs,
        "`concurrency: N` of a cycle counts loops; a lap never queues",
        &["loops_of_a_cycle_with_one_place_begin_in_the_order_of_acceptance"],
    ),
    row(
        "no order among transactions",
        Differs,
        "loops begin in the order of acceptance",
        &["two_loops_of_a_cycle_with_one_place_run_one_after_the_other"],
    ),
];

const ERRORS: &[Row] = &[
    row(
        "On Step Error: Ignore (default)",
        Differs,
        "`on_error: ignore` must be written",
        &["on_error_ignore_goes_on_with_null_fields_and_stop_cycle_says_so"],
    ),
    row(
        "On Step Error: Retry, up to 5",
        Differs,
        "`retry:`, also of lists that page and of items; Cyclr's gaps are `retry: cyclr`",
        &["a_transient_failure_is_tried_again_with_growing_gaps_and_then_fails_the_run"],
    ),
    row(
        "On Step Error: Stop the integration",
        There,
        "`on_error: stop_cycle`",
        &["on_error_ignore_goes_on_with_null_fields_and_stop_cycle_says_so"],
    ),
    row(
        "On Step Error: Stop the transaction",
        There,
        "the default, `stop_run`; it can be taken up again",
        &["a_run_goes_on_where_it_failed_and_its_loop_to_the_end"],
    ),
    row(
        "429: `Retry-After`, else 60 seconds, then longer, until it passes",
        There,
        "as the connector says (`do: wait`)",
        &[
            "gaps_grow_while_an_api_goes_on_asking",
            "an_api_that_asks_to_wait_is_left_alone_by_every_cycle_until_then",
        ],
    ),
];

const SPLITTING: &[Row] = &[
    row(
        "Collection splitting: First step",
        There,
        "`split: first_step`, not the default",
        &[
            "a_step_splits_by_its_own_word_else_by_the_cycles",
            "a_webhook_splits_a_body_that_is_a_list_and_no_other",
        ],
    ),
    row(
        "Collection splitting: All steps",
        There,
        "`split: all_steps`",
        &[
            "a_step_splits_by_its_own_word_else_by_the_cycles",
            "each_item_of_a_split_list_goes_on_by_itself",
        ],
    ),
    row(
        "Collection splitting: None",
        There,
        "the default",
        &["a_list_pages_itself_and_each_record_goes_on"],
    ),
    row(
        "a step's own setting",
        There,
        "`split: true`; each item is a run with a parent, \"item 1 of 7\"",
        &["each_item_goes_on_once_across_kills_and_what_follows_all_of_them_once"],
    ),
    row(
        "not split: one call for each item",
        There,
        "`for_each`, whose items are tried again one by one",
        &[
            "each_item_is_sent_once_in_order_with_a_key_of_its_own",
            "an_item_that_fails_for_a_while_keeps_its_key",
        ],
    ),
    row(
        "two lists joined by a Unique Field, else all by all",
        Out,
        "a `script` step joins lists; nothing is multiplied in silence",
        &[],
    ),
];

const LOGS: &[Row] = &[
    row(
        "Log Step Requests",
        There,
        "`log: {payloads, redact}`",
        &["a_field_that_a_cycle_never_shows_is_hidden_however_long_what_holds_it_is"],
    ),
    row(
        "retention, apart for success and error",
        There,
        "`retention:`",
        &["a_loop_is_kept_as_long_as_its_cycle_says"],
    ),
    row(
        "transactions and incidents by API",
        There,
        "`/api/v1/runs`, `/api/v1/loops`, `/api/v1/log`",
        &["trigger_follows_a_loop_and_the_other_commands_show_it"],
    ),
    row(
        "Transaction Error Webhook",
        There,
        "the same fields, and `RunUrl`, `Code`, `LoopId`, `Lap`",
        &["a_failed_run_is_told_field_by_field"],
    ),
    row(
        "warnings in it",
        Out,
        "only runs that failed are told",
        &["only_a_run_that_fails_is_told"],
    ),
    row(
        "an audit log",
        Instead,
        "`data.by` in the run log for cycles, loops, runs and watermarks; every change asked of the API in the server's own log, with the token's name",
        &[
            "the_run_log_says_on_whose_word_something_was_done",
            "every_change_is_told_with_who_asked_for_it",
        ],
    ),
];

/// The test that goes through them.
const WORDED: &[&str] = &["the_message_is_the_one_of_cyclrs_that_says_it_best"];

const MESSAGES: &[Row] = &[
    row(
        "Trigger Skipped",
        Differs,
        "no run fails: the log says `schedule.skipped`",
        &["a_start_is_skipped_while_a_loop_is_in_progress"],
    ),
    row(
        "Transaction Stopped",
        Out,
        "a run that a person stopped has not failed, and is not told",
        &["only_a_run_that_fails_is_told"],
    ),
    row("Out of retries", There, "", WORDED),
    row(
        "Failed to authenticate the connector",
        There,
        "`auth.*`",
        WORDED,
    ),
    row(
        "Required source is empty",
        There,
        "`request.missing_input`",
        WORDED,
    ),
    row("Webhook failed", There, "`webhook.script_failed`", WORDED),
    row(
        "Failed to build the request",
        There,
        "`script.*`, `request.bad_*`",
        WORDED,
    ),
    row(
        "Response data not in expected format",
        There,
        "`response.*`",
        WORDED,
    ),
    row("Failed to call the method", There, "`request.*`", WORDED),
    row("Response data fields missing", There, "", WORDED),
    row(
        "Step data cannot be split; Failed to split transaction step data",
        There,
        "`split.no_list`; `graph.no_split` before it runs",
        &["a_list_that_is_empty_ends_the_run_and_what_is_no_list_fails_it"],
    ),
    row(
        "Failed to save, return or build the webhook response",
        There,
        "`respond.*`",
        WORDED,
    ),
    row(
        "Failed to find the webhook source key",
        There,
        "`wait.no_key` where the run has none, `wait.none` where the request says another",
        &[
            "what_it_matches_by_cannot_be_null_and_a_resume_goes_there_again",
            "a_request_is_for_the_newest_run_that_it_fits_and_each_is_answered_once",
        ],
    ),
    row(
        "Failed to get webhook trigger step data; to find webhook trigger step",
        Out,
        "a run holds what came from its acceptance on",
        &[],
    ),
    row(
        "Wait Until Failed To Run",
        There,
        "`wait.no_date`",
        &["a_wait_for_what_is_no_date_fails_and_says_what_it_was"],
    ),
    row(
        "Wait Until is over retention period",
        Out,
        "no retention bounds a wait",
        &[],
    ),
    row(
        "Field is not a valid DateTime",
        There,
        "`wait.no_date`",
        &["a_wait_for_what_is_no_date_fails_and_says_what_it_was"],
    ),
    row(
        "WaitUntil step is missing wait criteria",
        There,
        "`field.missing`: `at`",
        &["every_bad_file_says_what_its_snapshot_says"],
    ),
];

pub(super) const SECTIONS: &[Section] = &[
    Section {
        title: "Webhooks",
        rows: WEBHOOKS,
    },
    Section {
        title: "Running",
        rows: RUNNING,
    },
    Section {
        title: "On a step's error",
        rows: ERRORS,
    },
    Section {
        title: "Splitting",
        rows: SPLITTING,
    },
    Section {
        title: "Logs, retention, alerts",
        rows: LOGS,
    },
    Section {
        title: "What an alert says (`Message`)",
        rows: MESSAGES,
    },
];
