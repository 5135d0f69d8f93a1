//! What a script may use, and the one constructor of an engine that has every limit set.

use std::time::Duration;

use rhai::Engine;
use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicFnPackage, BasicIteratorPackage, BasicMapPackage,
    BasicMathPackage, BasicStringPackage, BitFieldPackage, LanguageCorePackage, LogicPackage,
    MoreStringPackage, Package,
};

/// What one call of a handler may use (`script_limits:`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptLimits {
    /// How long it may take, by a monotonic clock. Looked at every 32 operations, so a call ends a
    /// few of its slowest operations later.
    pub time: Duration,
    /// Statements and expressions evaluated.
    pub operations: u64,
    /// Bytes held in variables, approximately: counted while a script runs long enough to matter
    /// (see `meter`), so what was allocated since the last look comes on top.
    pub memory: usize,
    /// How deep functions may call each other.
    pub depth: usize,
    /// Bytes of text in one value, all texts inside it together: of a script, and of what it makes. What
    /// arrives larger can be read.
    pub text: usize,
    /// Items of lists, and fields of objects, in one value, all levels together. As with text, held
    /// against a value where it is made, changed by one of its functions or given a field, not against
    /// all that it stands in.
    pub list: usize,
}

impl Default for ScriptLimits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(5),
            operations: 5_000_000,
            memory: 64 * 1024 * 1024,
            depth: 64,
            text: 1024 * 1024,
            list: 100_000,
        }
    }
}

/// Values nested deeper cannot leave a script; JSON readers stop there too.
pub(crate) const MAX_NESTING: usize = 128;
/// Expressions and blocks nested deeper do not compile. Each level costs stack in the parser and in
/// every evaluation, and a written script stays far below.
const MAX_EXPRESSION_DEPTH: usize = 64;
/// Functions of one script.
const MAX_FUNCTIONS: usize = 256;
/// Variables of one function in progress.
const MAX_VARIABLES: usize = 256;

/// Words that the language has and a handler must not have.
///
/// `eval` would run text that `analyse` never saw. `curry` and `this` would let values grow past what
/// the size limits count. There is nothing to `import` or to `export` to.
pub(crate) const DISABLED_WORDS: [&str; 6] = ["eval", "curry", "this", "import", "export", "spawn"];

/// An engine with every limit set and only the packages that touch nothing outside the script.
///
/// Left out on purpose: the time package (`timestamp` would be a second clock), the debugging package,
/// and byte arrays, whose constructor asks for memory before any limit is looked at. There is no module
/// resolver and no default output.
pub(crate) fn bounded_engine(limits: &ScriptLimits) -> Engine {
    let mut engine = Engine::new_raw();
    for module in [
        LanguageCorePackage::new().as_shared_module(),
        ArithmeticPackage::new().as_shared_module(),
        BasicStringPackage::new().as_shared_module(),
        BasicIteratorPackage::new().as_shared_module(),
        BasicFnPackage::new().as_shared_module(),
        BitFieldPackage::new().as_shared_module(),
        LogicPackage::new().as_shared_module(),
        BasicMathPackage::new().as_shared_module(),
        BasicArrayPackage::new().as_shared_module(),
        BasicMapPackage::new().as_shared_module(),
        MoreStringPackage::new().as_shared_module(),
    ] {
        engine.register_global_module(module);
    }
    // Zero means "no limit" to the engine, and to the reader of a configuration "nothing at all".
    engine
        .set_max_operations(limits.operations.max(1))
        .set_max_call_levels(limits.depth)
        .set_max_expr_depths(MAX_EXPRESSION_DEPTH, MAX_EXPRESSION_DEPTH)
        .set_max_variables(MAX_VARIABLES)
        .set_max_functions(MAX_FUNCTIONS)
        .set_max_modules(0)
        .set_max_string_size(limits.text.max(1))
        .set_max_array_size(limits.list.max(1))
        .set_max_map_size(limits.list.max(1))
        .set_strict_variables(false)
        .set_fail_on_invalid_map_property(false)
        .set_optimization_level(rhai::OptimizationLevel::None);
    for word in DISABLED_WORDS {
        engine.disable_symbol(word);
    }
    engine
}
