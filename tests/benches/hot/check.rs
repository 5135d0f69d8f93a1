//! From a file's text to a plan, scripts analysed.

use divan::Bencher;
use velodrome_tests::ZOHO_INCREMENTAL;

use crate::shipped;

/// A file that was not seen before: its scripts are compiled.
#[divan::bench]
fn check_new_file(bencher: Bencher<'_, '_>) {
    let connections = shipped::Connections::new();
    bencher
        .with_inputs(shipped::host)
        .bench_refs(|host| shipped::check(host, &connections, ZOHO_INCREMENTAL));
}

/// The same file again, as on each reload: its scripts are known.
#[divan::bench]
fn check_known_file(bencher: Bencher<'_, '_>) {
    let (connections, host) = (shipped::Connections::new(), shipped::host());
    bencher.bench(|| shipped::check(&host, &connections, ZOHO_INCREMENTAL));
}
