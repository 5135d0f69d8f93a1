//! What helps against a code, in one sentence: the same on the terminal and in the console.

/// What a person does about a run that failed with this code, as far as the message does not say it itself.
pub fn remedy(code: &str) -> &'static str {
    match code {
        "auth.needs_connection" => "sign in again: `velodrome connect` with the connection's name",
        "request.refused_address" => "if the host may be reached, name it under `egress: allow`",
        "request.outcome_unknown" => "look at the API whether the request arrived",
        "paging.token_expired" => "the list begins again at its first page",
        "loop.max_laps" | "loop.max_hops" => "raise the limit under `loop:`, or mend the end test",
        "loop.same_page" => "does the request send the page? the same records came again",
        "engine.fault" => "please report it with the server's log",
        _ => match code.split('.').next() {
            Some("script") => "mend the script; a running server takes the file as it is saved",
            Some("request" | "response") => "look at the API's answer; mend the step, or the API",
            _ => "mend the cause",
        },
    }
}
