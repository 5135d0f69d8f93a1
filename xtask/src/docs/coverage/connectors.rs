//! Mapping, connectors, paging, limits, the date of the last successful run.

use super::State::{Differs, Instead, Out, There};
use super::{Row, Section, row};

const MAPPING: &[Row] = &[
    row(
        "Ignore",
        There,
        "`ignore`",
        &["pages_to_the_end_with_each_record_once"],
    ),
    row(
        "Variable",
        There,
        "`variables:`, `${var:x}`",
        &["good_files_have_no_fault"],
    ),
    row(
        "Type a Value, with merge fields",
        There,
        "text with references in it",
        &["a_value_in_a_url_leads_nowhere_else"],
    ),
    row(
        "Type a Value, an inline script",
        Differs,
        "a value that begins with `=`",
        &["values_and_conditions_compute_and_a_fault_is_told_in_the_file"],
    ),
    row(
        "Previous step",
        There,
        "`${step.field}`",
        &["only_json_literals_are_typed"],
    ),
    row(
        "Lookup, at design time",
        Instead,
        "`step test` shows what an API gives; the value is written",
        &["a_list_is_asked_by_its_watermark_and_neither_it_nor_storage_moves"],
    ),
    row(
        "Select a Value",
        There,
        "`values` of an input or a field",
        &["show_tells_what_a_step_may_map_and_read"],
    ),
    row(
        "User Configurable",
        Instead,
        "`variables:`, and settings of a connection",
        &["ones_own_comes_in_place_of_a_built_in_one"],
    ),
    row(
        "`{{LastSuccessfulRunDate format=…}}`",
        There,
        "`incremental: {format}`, `${since}`",
        &["dates_are_moments_whatever_their_offset"],
    ),
    row(
        "merge fields of account, cycle, transaction",
        There,
        "`${cycle.id}`, `${run.id}`; there are no accounts",
        &["good_files_have_no_fault"],
    ),
    row(
        "locations `a.b`, `[items].c`",
        There,
        "`a.b`, `items[].c`, `items[0]`, `a[\"odd.key\"]`",
        &["good_files_have_no_fault"],
    ),
    row(
        "types Text, Integer, Float, Boolean, DateTime",
        There,
        "`text integer number boolean datetime object list any`",
        &["every_refusal_has_its_status_and_code_and_changes_nothing"],
    ),
    row(
        "type Decimal, type File",
        Out,
        "numbers are JSON's; files are not stored",
        &[],
    ),
    row(
        "body types Json, Form",
        There,
        "",
        &["stripe_is_written_to_by_forms_and_once_whatever_comes_back"],
    ),
    row(
        "body types Xml, multipart, plain text",
        Out,
        "`http_request` or `cyclr_xml_serialize` in a script build others",
        &[],
    ),
    row(
        "Required source is empty",
        There,
        "`request.missing_input`",
        &["what_asks_nothing_or_lacks_an_input_is_refused_before_anything_is_asked"],
    ),
    row(
        "fields found by a lookup",
        Out,
        "an answer whose fields nobody described may be read all the same",
        &[],
    ),
];

const CONNECTORS: &[Row] = &[
    row(
        "a connector is data",
        There,
        "a [YAML file](connectors.md)",
        &["the_files_of_the_page_bring_each_order_once"],
    ),
    row(
        "import from OpenAPI",
        Out,
        "written by hand, under 40 lines for a list",
        &[],
    ),
    row(
        "parameters HttpHeader, QueryString, MergeField",
        There,
        "`header`, `query`, `path` of an input",
        &["the_files_of_the_page_bring_each_order_once"],
    ),
    row(
        "Account Connector Property",
        There,
        "`settings:`",
        &["ones_own_comes_in_place_of_a_built_in_one"],
    ),
    row(
        "ApiKey, Basic, AuthFields",
        There,
        "`auth: {type: api_key}`, `basic`, `bearer`",
        &[
            "what_the_senders_own_libraries_sign_is_let_in_and_nothing_else",
            "stripe_is_walked_by_the_last_charge_with_its_key_as_the_user",
        ],
    ),
    row(
        "OAuth1, OAuth2 by password",
        Out,
        "no service of the built-in connectors takes them",
        &[],
    ),
    row(
        "OAuth2 by code",
        Differs,
        "PKCE, a state bound to the browser, hosts held to a list",
        &[
            "a_person_signs_in_and_tokens_are_refreshed_until_the_server_says_no",
            "a_link_works_once_and_its_answer_in_the_browser_that_opened_it",
        ],
    ),
    row(
        "OAuth2 by client credentials",
        There,
        "",
        &["a_client_signs_in_by_itself_with_basic_authentication"],
    ),
    row(
        "client id and secret asked for when blank",
        There,
        "`velodrome connect`",
        &["a_blank_client_is_asked_for_kept_sealed_and_signed_out_again"],
    ),
    row(
        "callback `/connector/callback`",
        There,
        "",
        &["a_code_that_was_given_to_another_sign_in_is_worth_nothing"],
    ),
    row(
        "`CYCLR_PAGE_NUMBER`, `_OFFSET`, `_SIZE`",
        There,
        "`style: page`, `offset`; [each behaviour](paging.md)",
        &["pages_are_counted_from_one_or_zero_and_every_record_comes_once"],
    ),
    row(
        "`CYCLR_PAGE_NEXT_URL`, `CYCLR_PAGE_TOKEN`",
        There,
        "`next_url`, `cursor`",
        &["hubspot_lists_all_contacts_by_its_cursor"],
    ),
    row(
        "all pages inside one step",
        Differs,
        "each page is a commit; a crash repeats one page at the most",
        &["killed_in_the_middle_it_repeats_one_page_at_the_most"],
    ),
    row(
        "outbound paging",
        Instead,
        "`for_each` over the list",
        &["each_item_is_sent_once_in_order_with_a_key_of_its_own"],
    ),
    row(
        "rate limits of a connector and a method, several at once",
        There,
        "`limits:`",
        &["a_rate_that_is_used_up_for_long_is_waited_for_in_the_store"],
    ),
    row(
        "calls over the rate are queued",
        There,
        "in turn between cycles, then loops",
        &["a_thousand_loops_of_one_cycle_do_not_starve_the_one_of_another"],
    ),
    row(
        "`ContinueOnNullSource`",
        Instead,
        "`${x ?? default}`",
        &["good_files_have_no_fault"],
    ),
];

const DATES: &[Row] = &[
    row(
        "kept for each step",
        There,
        "",
        &["one_list_that_fails_keeps_its_date_and_the_others_move_theirs"],
    ),
    row(
        "unset: the first run sets it to now and skips all history",
        Differs,
        "unset is everything; `first_run: now` is Cyclr's",
        &["the_first_request_fixes_the_date_by_what_is_stored_else_by_first_run"],
    ),
    row(
        "set by hand",
        There,
        "`watermark set`",
        &["the_watermark_moves_with_success_and_by_hand"],
    ),
    row(
        "`next_last_successful_run_date`",
        There,
        "",
        &["the_watermark_moves_with_success_and_by_hand"],
    ),
    row(
        "start or end of the step (not said)",
        Differs,
        "the first answer's `Date`, less the overlap: nothing is lost",
        &["the_watermark_is_the_first_pages_date_and_moves_when_the_run_succeeds"],
    ),
];

const LOOP: &[Row] = &[
    row(
        "the loop's set-up, in ten steps",
        There,
        "one file, `cycles/zoho_incremental.yaml`",
        &["pages_to_the_end_with_each_record_once"],
    ),
    row(
        "its two scripts, to the byte",
        There,
        "`cycles/zoho_incremental_js.yaml`",
        &[
            "cyclrs_own_scripts_turn_the_paging_loop",
            "the_shipped_cycles_pass_their_tests_the_same_each_time",
        ],
    ),
    row(
        "a second start disturbs the first",
        Differs,
        "`concurrency: 1` queues it; `loop_storage_*` keeps loops apart",
        &[
            "loops_with_loop_storage_run_side_by_side_without_disturbing_each_other",
            "two_loops_of_a_cycle_with_one_place_run_one_after_the_other",
        ],
    ),
    row(
        "an error ends it silently",
        Differs,
        "it fails, is told, and is taken up by `loop retry`",
        &["a_run_goes_on_where_it_failed_and_its_loop_to_the_end"],
    ),
    row(
        "BigQuery's endless poll",
        There,
        "`cycles/stateless_loop.yaml`",
        &["the_shipped_cycles_pass_their_tests_the_same_each_time"],
    ),
    row(
        "Marketo's export in two cycles",
        There,
        "`cycles/export_start.yaml`, `cycles/export_poll.yaml`",
        &["the_shipped_cycles_pass_their_tests_the_same_each_time"],
    ),
];

pub(super) const SECTIONS: &[Section] = &[
    Section {
        title: "Mapping",
        rows: MAPPING,
    },
    Section {
        title: "Connectors",
        rows: CONNECTORS,
    },
    Section {
        title: "The date of the last successful run",
        rows: DATES,
    },
    Section {
        title: "The page loop",
        rows: LOOP,
    },
];
