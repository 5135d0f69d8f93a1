//! `docs/paging.md`: what is expected of paging, incremental lists and waits, each with the test that shows it.
//!
//! A test that is named and not there is an error.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::NOTE;
use super::shown::look;

const HEAD: &str = "
What other tools' tests ask of a client that pages through an API, and what Velodrome does, each with the test that shows
it. The behaviours are those of dlt's `rest_client`, Airbyte's declarative paginators, Meltano's SDK, Nango's paginators
and clients of Zoho; the tests are our own. `cargo xtask docs` refuses a test that does not exist. How to write a
definition: [connectors](connectors.md); where dates come from: [incremental lists](incremental.md); what is known of
Zoho: [Zoho](zoho.md).
";

const NUMBERS: &str = "crates/connect/tests/it/paging/numbers.rs";
const TOKENS: &str = "crates/connect/tests/it/paging/tokens.rs";
const ENDS: &str = "crates/connect/tests/it/paging/ends.rs";
const LINKS: &str = "crates/connect/tests/it/paging/links.rs";
const FILTER: &str = "crates/connect/tests/it/paging/filter.rs";
const OUTCOMES: &str = "crates/connect/tests/it/outcomes.rs";
const REFRESH: &str = "crates/connect/tests/it/refresh.rs";
const SIGN_IN: &str = "crates/connect/tests/it/sign_in.rs";
const CREDENTIALS: &str = "crates/connect/tests/it/credentials.rs";
const TURNS: &str = "crates/connect/tests/it/turns.rs";
const ZOHO: &str = "crates/connect/tests/it/zoho.rs";
const WAITS: &str = "crates/connect/src/send/retry_after.rs";
const DATES: &str = "crates/connect/src/request/date.rs";
const SCAN: &str = "crates/connect/src/scan/tests.rs";
const MACHINE: &str = "crates/core/tests/machine/paging.rs";
const LOOP: &str = "crates/core/tests/machine/page_loop.rs";
const FILES: &str = "crates/spec/tests/files/connectors.rs";
const ENGINE: &str = "crates/runtime/tests/engine/turns.rs";
const LISTS: &str = "tests/tests/lists.rs";
const PAGING: &str = "tests/tests/paging.rs";
const MANY: &str = "tests/tests/many_contacts.rs";

/// How many there are.
const ALL: u32 = 58;

/// A behaviour.
struct Row {
    number: u32,
    what: &'static str,
    /// Tests that show it: the file and the function. None where there is nothing to show.
    shown: &'static [(&'static str, &'static str)],
    /// What is particular here.
    ours: &'static str,
}

const fn row(
    number: u32,
    what: &'static str,
    shown: &'static [(&'static str, &'static str)],
    ours: &'static str,
) -> Row {
    Row {
        number,
        what,
        shown,
        ours,
    }
}

const SECTIONS: &[(&str, &[Row])] = &[
    (
        "Page numbers",
        &[
            row(
                1,
                "From 1 or from 0, a full page is followed by the next number.",
                &[(
                    NUMBERS,
                    "pages_are_counted_from_one_or_zero_and_every_record_comes_once",
                )],
                "",
            ),
            row(
                2,
                "A page that is not full ends the list, an empty one too.",
                &[
                    (NUMBERS, "a_short_page_ends_where_the_definition_says_so"),
                    (NUMBERS, "an_empty_page_ends_without_a_size"),
                ],
                "Only where the definition says so (`short_page`, `empty_page`).",
            ),
            row(
                3,
                "A full page of which a filter leaves nothing is followed by the next.",
                &[(
                    LISTS,
                    "a_page_of_which_nothing_is_left_is_followed_by_the_next",
                )],
                "",
            ),
            row(
                4,
                "The first number can be left out; the second request asks the one behind it.",
                &[(NUMBERS, "the_first_number_may_be_left_out")],
                "",
            ),
            row(
                5,
                "Without a page size, an empty page is the end.",
                &[(NUMBERS, "an_empty_page_ends_without_a_size")],
                "",
            ),
            row(
                6,
                "A size written as the text `\"2\"` is 2; `abc` is refused when the file is read.",
                &[
                    (NUMBERS, "a_short_page_ends_where_the_definition_says_so"),
                    (FILES, "every_bad_connector_says_what_its_snapshot_says"),
                ],
                "`paging.keys.yaml` among the bad connectors.",
            ),
            row(
                7,
                "The number of pages may come as text; what is no number, or missing, is an error.",
                &[(NUMBERS, "the_number_of_pages_ends_it_also_as_text")],
                "",
            ),
            row(
                8,
                "`more` false ends the list though the page is full; the text `true` goes on; missing or anything else is an error.",
                &[(NUMBERS, "more_wins_over_full_pages_and_is_never_guessed")],
                "",
            ),
            row(
                9,
                "The greatest page is the last that is asked.",
                &[(NUMBERS, "the_greatest_number_ends_it")],
                "",
            ),
            row(
                10,
                "Counted from 0 and from 1, every record comes once.",
                &[(
                    NUMBERS,
                    "pages_are_counted_from_one_or_zero_and_every_record_comes_once",
                )],
                "",
            ),
            row(
                11,
                "The number can stand inside a JSON body and leaves the other keys alone.",
                &[(
                    NUMBERS,
                    "the_page_may_stand_inside_a_json_body_beside_others",
                )],
                "",
            ),
        ],
    ),
    (
        "Offsets",
        &[
            row(
                12,
                "From offset 123 with 42 a page, the next is 165.",
                &[(
                    NUMBERS,
                    "the_next_offset_is_behind_the_records_and_the_total_counts_records",
                )],
                "`total` counts what has come, not the place in the list.",
            ),
            row(
                13,
                "0, 2, 4, then an empty page: three requests.",
                &[(NUMBERS, "offsets_end_at_an_empty_page_or_at_their_maximum")],
                "",
            ),
            row(
                14,
                "The greatest offset ends it without a total.",
                &[(NUMBERS, "offsets_end_at_an_empty_page_or_at_their_maximum")],
                "",
            ),
            row(
                15,
                "Two places for one number are refused.",
                &[(FILES, "every_bad_connector_says_what_its_snapshot_says")],
                "When the file is read: `field.alone`.",
            ),
            row(
                16,
                "A definition that nothing ends is refused.",
                &[(FILES, "every_bad_connector_says_what_its_snapshot_says")],
                "When the file is read: `paging.no_end`, for numbers, offsets and hand-offs.",
            ),
            row(
                17,
                "Offset 0 is sent with the first request, or not.",
                &[(NUMBERS, "offsets_end_at_an_empty_page_or_at_their_maximum")],
                "`first: omit`.",
            ),
        ],
    ),
    (
        "Tokens",
        &[
            row(
                18,
                "The token comes in the body, in a header, out of the last record, or in `Link`.",
                &[
                    (
                        TOKENS,
                        "a_token_comes_in_the_body_or_a_header_and_goes_anywhere",
                    ),
                    (TOKENS, "the_last_records_field_asks_for_what_is_behind_it"),
                    (LINKS, "a_link_is_whole_or_relative_and_replaces_the_query"),
                ],
                "",
            ),
            row(
                19,
                "A token that is null, missing or empty is the end.",
                &[(TOKENS, "no_token_is_the_end_unless_there_is_more")],
                "",
            ),
            row(
                20,
                "`more` false is the end although a token is there.",
                &[(TOKENS, "no_token_is_the_end_unless_there_is_more")],
                "",
            ),
            row(
                21,
                "`more` true with a token goes on; that `more` is missing is an error.",
                &[
                    (TOKENS, "no_token_is_the_end_unless_there_is_more"),
                    (
                        MANY,
                        "more_records_without_a_token_to_them_fail_and_are_no_end",
                    ),
                ],
                "`more` true without a token is an error that is tried again, by the engine and by hand.",
            ),
            row(
                22,
                "The same token twice is an error.",
                &[(TOKENS, "a_token_or_link_that_leads_back_is_an_error")],
                "Circles of any length, too.",
            ),
            row(
                23,
                "The token goes into the query, a header, a form, a JSON body, or deep in one.",
                &[(
                    TOKENS,
                    "a_token_comes_in_the_body_or_a_header_and_goes_anywhere",
                )],
                "",
            ),
            row(
                24,
                "A number is a token; a text of blanks is the end.",
                &[(TOKENS, "no_token_is_the_end_unless_there_is_more")],
                "",
            ),
        ],
    ),
    (
        "Links",
        &[
            row(
                25,
                "The next URL may be whole, relative, with a port, with encoded characters, without the page's own parameter.",
                &[(LINKS, "a_link_is_whole_or_relative_and_replaces_the_query")],
                "",
            ),
            row(
                26,
                "The first request's parameters are not repeated on it.",
                &[(LINKS, "a_link_is_whole_or_relative_and_replaces_the_query")],
                "",
            ),
            row(
                27,
                "It may stand under a key such as `@odata.nextLink`.",
                &[(LINKS, "a_link_is_whole_or_relative_and_replaces_the_query")],
                "",
            ),
            row(
                28,
                "The header is preferred, the body is asked where it has none.",
                &[(
                    LINKS,
                    "the_header_is_preferred_and_the_body_asked_where_it_has_none",
                )],
                "",
            ),
            row(
                29,
                "`rel=next` bare and beside a second link is found; only `rel=back` is the end.",
                &[(
                    LINKS,
                    "the_header_is_preferred_and_the_body_asked_where_it_has_none",
                )],
                "",
            ),
            row(
                30,
                "A link that leads to where it was found does not go on for ever.",
                &[(TOKENS, "a_token_or_link_that_leads_back_is_an_error")],
                "An error (`paging.repeated`), not the end: what lies behind it was not read.",
            ),
        ],
    ),
    (
        "Incremental lists",
        &[
            row(
                31,
                "Of a stored date and a start date it is said which one counts.",
                &[(
                    MACHINE,
                    "the_first_request_fixes_the_date_by_what_is_stored_else_by_first_run",
                )],
                "The stored one always; `first_run` counts only where there is none. `velodrome watermark set` changes it.",
            ),
            row(
                32,
                "A look-back moves the date that is asked with.",
                &[
                    (
                        MACHINE,
                        "the_first_request_fixes_the_date_by_what_is_stored_else_by_first_run",
                    ),
                    (
                        LISTS,
                        "records_in_no_order_and_without_a_date_come_and_do_not_move_the_watermark",
                    ),
                ],
                "`overlap` is taken off when the date is kept, and off `first_run: now`; a date that you wrote is taken as it is.",
            ),
            row(
                33,
                "Records out of order do not make the date wrong.",
                &[
                    (
                        LISTS,
                        "records_in_no_order_and_without_a_date_come_and_do_not_move_the_watermark",
                    ),
                    (
                        MACHINE,
                        "the_watermark_is_the_first_pages_date_and_moves_when_the_run_succeeds",
                    ),
                ],
                "The date is the API's clock at the first answer, never a record's.",
            ),
            row(
                34,
                "A list without records does not lose its date.",
                &[(
                    MACHINE,
                    "a_list_without_records_moves_its_date_and_one_without_a_date_does_not",
                )],
                "It moves: nothing changed up to the answer's `Date`.",
            ),
            row(
                35,
                "Dates are compared as moments, not as texts.",
                &[(LISTS, "dates_are_moments_whatever_their_offset")],
                "",
            ),
            row(
                36,
                "A record without the date field comes and moves nothing.",
                &[
                    (
                        LISTS,
                        "records_in_no_order_and_without_a_date_come_and_do_not_move_the_watermark",
                    ),
                    (SCAN, "keys_tell_states_of_records_apart"),
                ],
                "",
            ),
            row(
                37,
                "A start behind the end asks nothing.",
                &[],
                "There is no end date: a list is asked for all since its date.",
            ),
            row(
                38,
                "Inclusive filters repeat nothing at the edge; exclusive ones lose nothing there.",
                &[
                    (DATES, "each_format_cuts_and_never_rounds_up"),
                    (
                        PAGING,
                        "a_void_token_begins_a_list_that_pages_itself_again_without_repeats",
                    ),
                    (
                        LISTS,
                        "a_page_of_which_nothing_is_left_is_followed_by_the_next",
                    ),
                ],
                "Repeats are dropped within a loop. Between two loops a record at the edge may come in both.",
            ),
            row(
                39,
                "The date goes into a header, the query, the body, or a text.",
                &[(
                    FILTER,
                    "the_filter_goes_with_every_page_wherever_it_is_sent",
                )],
                "",
            ),
        ],
    ),
    (
        "Errors and waits",
        &[
            row(
                40,
                "How long to wait is read from a header: a number, a decimal; what is neither number nor date is none.",
                &[
                    (WAITS, "every_form_is_read"),
                    (
                        OUTCOMES,
                        "retry_after_is_passed_on_where_trying_again_helps",
                    ),
                ],
                "`60,120` is none: no pattern can be given to take a part of it.",
            ),
            row(
                41,
                "A moment that has passed is no wait; the least wait holds.",
                &[
                    (WAITS, "a_moment_is_measured_from_the_answers_own_date"),
                    (LOOP, "retry_after_is_obeyed_where_it_asks_for_more"),
                ],
                "The least wait is the step's own gap.",
            ),
            row(
                42,
                "Nobody sleeps through a wait that is too long.",
                &[
                    (WAITS, "every_form_is_read"),
                    (
                        ENGINE,
                        "an_api_that_asks_to_wait_is_left_alone_by_every_cycle_until_then",
                    ),
                ],
                "It is waited for in the store, a week at the most, and survives a restart; nothing fails for it.",
            ),
            row(
                43,
                "The first rule that fits decides; what none fits goes by its status.",
                &[
                    (OUTCOMES, "the_first_rule_that_matches_decides"),
                    (OUTCOMES, "without_rules_the_status_decides"),
                ],
                "",
            ),
            row(
                44,
                "No retries means one attempt.",
                &[(LISTS, "without_retries_one_failure_is_the_end")],
                "",
            ),
            row(
                45,
                "One list that fails does not lose the dates of the others.",
                &[(
                    LISTS,
                    "one_list_that_fails_keeps_its_date_and_the_others_move_theirs",
                )],
                "",
            ),
        ],
    ),
    (
        "Zoho",
        &[
            row(
                46,
                "204 and 304 are no records and no more.",
                &[
                    (ENDS, "an_empty_answer_ends_the_walk_whatever_the_end_test"),
                    (ZOHO, "recorded_answers_mean_what_zoho_says_they_do"),
                ],
                "",
            ),
            row(
                47,
                "A date with another offset is sent as the same second, not the one behind it.",
                &[
                    (LISTS, "dates_are_moments_whatever_their_offset"),
                    (
                        ZOHO,
                        "the_walk_in_one_step_follows_recorded_pages_from_numbers_to_tokens",
                    ),
                ],
                "Sent with the offset `+00:00`.",
            ),
            row(
                48,
                "Without a stored date everything is asked, or as is said.",
                &[
                    (PAGING, "the_watermark_moves_with_success_and_by_hand"),
                    (
                        MACHINE,
                        "the_first_request_fixes_the_date_by_what_is_stored_else_by_first_run",
                    ),
                ],
                "No filter is sent, not 1970; `first_run` says otherwise.",
            ),
            row(
                49,
                "A module that is not supported shows the code and the body of the 400.",
                &[
                    (ZOHO, "recorded_answers_mean_what_zoho_says_they_do"),
                    (OUTCOMES, "an_error_tells_what_came"),
                ],
                "",
            ),
            row(
                50,
                "6,000 records over many runs, and three that arrive between, come once each.",
                &[(
                    MANY,
                    "six_thousand_over_many_runs_and_three_that_come_between_come_once_each",
                )],
                "Within the loop. The next loop asks for the three again, because they changed after the walk began.",
            ),
            row(
                51,
                "A kept paging token that is refused begins the list again without repeats.",
                &[
                    (
                        PAGING,
                        "a_void_token_begins_a_list_that_pages_itself_again_without_repeats",
                    ),
                    (
                        PAGING,
                        "a_void_token_begins_a_list_paged_by_hand_again_without_repeats",
                    ),
                ],
                "",
            ),
            row(
                52,
                "12,000 records of one and the same second come once each.",
                &[(MANY, "twelve_thousand_of_one_second_come_once_each")],
                "",
            ),
            row(
                53,
                "A token is sent to the connection's own host only, whatever a look-alike is called.",
                &[
                    (CREDENTIALS, "oauth_tokens_go_to_the_kept_domain_only"),
                    (CREDENTIALS, "a_redirect_elsewhere_takes_nothing_along"),
                    (SIGN_IN, "look_alike_hosts_are_refused"),
                    (SIGN_IN, "api_domains_are_held_to_the_same_list"),
                ],
                "",
            ),
            row(
                54,
                "The token endpoint's `invalid_code` is for good, `Access Denied` passes, whatever their status; a page of HTML passes; 200 without a token is an error.",
                &[
                    (ZOHO, "recorded_token_answers_mean_what_zoho_says_they_do"),
                    (REFRESH, "what_the_token_endpoint_says_decides"),
                    (REFRESH, "access_denied_waits_and_does_not_ask_again"),
                ],
                "",
            ),
            row(
                55,
                "429 is a wait, whatever its body says.",
                &[
                    (ZOHO, "recorded_answers_mean_what_zoho_says_they_do"),
                    (TURNS, "gaps_grow_while_an_api_goes_on_asking"),
                ],
                "A day's credits and too many at once look alike: the gaps grow from one minute to thirty.",
            ),
            row(
                56,
                "A token's life counts from before it was asked for.",
                &[(
                    REFRESH,
                    "the_life_of_a_token_counts_from_before_it_was_asked_for",
                )],
                "",
            ),
            row(
                57,
                "A refresh that fails keeps the refresh token.",
                &[
                    (REFRESH, "what_the_token_endpoint_says_decides"),
                    (ZOHO, "recorded_token_answers_mean_what_zoho_says_they_do"),
                ],
                "",
            ),
            row(
                58,
                "Two at once refresh once.",
                &[
                    (REFRESH, "twenty_callers_at_once_refresh_once"),
                    (REFRESH, "twenty_callers_at_once_share_a_failure"),
                ],
                "Twenty at once.",
            ),
        ],
    ),
];

pub(super) fn page() -> Result<String> {
    let mut page = format!("# Paging, behaviour by behaviour\n\n{NOTE}{HEAD}");
    let mut number = 0;
    for (title, rows) in SECTIONS {
        let _ = write!(
            page,
            "\n## {title}\n\n| | behaviour | shown by | here |\n|---|---|---|---|\n"
        );
        for row in *rows {
            number += 1;
            ensure!(row.number == number, "row {number} is missing");
            ensure!(
                !row.shown.is_empty() || !row.ours.is_empty(),
                "nothing shows behaviour {number}"
            );
            let mut shown = Vec::new();
            for (file, test) in row.shown {
                look(Path::new(file), test).with_context(|| format!("behaviour {number}"))?;
                shown.push(format!("[`{test}`](../{file})"));
            }
            let _ = writeln!(
                page,
                "| {number} | {} | {} | {} |",
                row.what,
                shown.join(", "),
                row.ours
            );
        }
    }
    ensure!(number == ALL, "{number} behaviours of {ALL}");
    Ok(page)
}
