//! The checks, one a promise of the store. Each begins with an empty store.

mod commits;
mod forget;
mod log;
mod loops;
mod outbox;
mod runs;
mod small;
mod storage;
mod waits;

pub use commits::*;
pub use forget::*;
pub use log::*;
pub use loops::*;
pub use outbox::*;
pub use runs::*;
pub use small::*;
pub use storage::*;
pub use waits::*;

/// Makes a test of each check. `$make` is a function from [`crate::StorageLimits`] to a
/// `Box<dyn Subject>` with an empty store.
#[macro_export]
macro_rules! conformance_suite {
    ($make:expr) => {
        $crate::conformance_suite! { @tests $make;
            a_unit_is_written_whole
            orders_rise_for_ever
            a_run_fence_that_differs_is_a_conflict
            a_run_that_is_there_is_a_conflict
            a_loop_that_ended_or_is_missing_is_a_conflict
            an_answer_that_is_remembered_is_a_conflict
            the_first_expectation_that_fails_is_enough
            a_conflict_leaves_nothing_behind
            a_refused_write_leaves_nothing_behind
            a_refused_unit_does_not_disturb_its_neighbours
            units_see_what_units_before_them_wrote
            a_commit_goes_on_when_nobody_waits
            a_closed_store_takes_nothing
            closing_twice_is_closing
            a_run_is_written_whole_each_time
            every_run_status_is_kept
            extreme_numbers_are_kept
            runs_are_listed_newest_acceptance_first
            runs_are_listed_by_filter
            listings_go_on_behind_a_cursor
            runs_are_found_by_the_end_of_their_id
            unfinished_runs_come_in_order_of_acceptance
            runs_are_counted_by_the_step_they_are_at
            parts_of_a_run_come_by_number
            parts_of_a_loop_are_forgotten_from_the_front
            timers_are_due_earliest_first
            a_timer_replaces_the_one_before
            a_loop_is_written_whole_each_time
            loops_are_listed_newest_acceptance_first
            loops_are_listed_by_filter
            loops_are_found_by_the_end_of_their_id
            the_first_queued_loop_is_the_first_accepted
            open_loops_are_counted_by_state
            lines_get_numbers_without_holes
            a_refused_unit_uses_no_line_number
            every_field_of_a_line_is_kept
            lines_of_one_unit_about_many_keep_their_order
            the_log_is_filtered
            the_log_is_read_on_from_where_it_was_searched
            the_tail_is_the_newest_lines_in_order
            values_keep_their_type
            a_value_tells_who_wrote_it
            namespaces_are_apart
            increments_lose_nothing
            appends_lose_nothing
            writes_of_a_unit_apply_in_order
            deleting_all_leaves_other_namespaces
            what_was_deleted_can_be_set_again
            keys_come_in_byte_order_some_at_a_time
            storage_limits_are_kept
            long_values_are_kept
            namespaces_are_listed
            watermarks_are_raised_set_and_unset
            answers_expire
            a_remembered_answer_is_replaced
            notices_wait_in_order_one_a_cycle
            a_notice_keeps_its_place_until_it_is_removed
            the_newest_run_that_waits_is_found
            the_fields_that_runs_are_found_by_are_told_once
            a_run_that_is_forgotten_has_never_waited
            a_plan_that_is_there_is_left
            the_word_on_a_cycle_is_the_last
            a_cycle_that_is_deleted_is_forgotten
            how_far_a_schedule_has_come_is_the_last_word
            secrets_are_kept_by_name
            old_laps_are_forgotten
            an_ended_loop_is_forgotten_whole
            a_long_loop_is_forgotten_in_slices
            old_lines_of_no_loop_are_forgotten
            ended_loops_are_found_by_age
        }
    };
    (@tests $make:expr; $($name:ident)+) => {
        $(
            #[test]
            fn $name() {
                let limits = $crate::StorageLimits { items: 50, ..Default::default() };
                let mut bench = $crate::testkit::Bench::new($make(limits));
                $crate::testkit::checks::$name(&mut bench);
            }
        )+
    };
}
