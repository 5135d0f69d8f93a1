//! Reads a script without running it: what is in it, and everything that is wrong with it.
//!
//! Names, calls and keys come from the engine's own syntax tree: a lexer of ours would have to know
//! again what shadows what, and where texts interpolate. Functions carry no place in that tree; where
//! one must be pointed at, its name is looked up in the text.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rhai::{AST, ASTFlags, Engine, ParseErrorType, Position, Scope, Stmt};
use velodrome_spec::ScriptFault;

use crate::errors::{FAILED, SYNTAX, place, syntax_message, translate};
use crate::javascript;
use crate::limits::{DISABLED_WORDS, ScriptLimits};
use crate::meter::{Allowance, Metered};
use crate::script::{Body, Facts, Script};
use crate::walk::Walk;

/// A statement outside functions.
const TOP_LEVEL: &str = "script.top_level";

/// Functions that the engine handles itself rather than registers.
const BUILT_IN: [&str; 8] = [
    "Fn",
    "call",
    "debug",
    "is_def_fn",
    "is_def_var",
    "is_shared",
    "print",
    "type_of",
];

/// A fault at a place of the engine's; without one it stands at the beginning.
pub(crate) fn fault(
    code: &'static str,
    message: impl Into<String>,
    hint: Option<String>,
    at: Position,
) -> ScriptFault {
    let (line, column) = place(at).unwrap_or((1, 1));
    ScriptFault {
        code,
        message: message.into(),
        hint,
        line,
        column,
    }
}

/// Knows every function of the engine.
pub(crate) struct Reader {
    functions: BTreeSet<String>,
}

impl Reader {
    pub(crate) fn new(engine: &Engine) -> Self {
        let registered = engine.collect_fn_metadata(
            None,
            |function| Some(function.metadata.name.to_string()),
            true,
        );
        let mut functions: BTreeSet<String> = registered
            .into_iter()
            .filter(|name| name.starts_with(|c: char| c.is_alphabetic() || c == '_'))
            .collect();
        functions.extend(BUILT_IN.map(str::to_owned));
        // Registered only to refuse it where it is called by a name that was put together.
        functions.remove("sleep");
        Self { functions }
    }

    /// Compiles a text, or tells every fault in it; after a syntax error only that.
    pub(crate) fn read(
        &self,
        engine: &Engine,
        limits: &ScriptLimits,
        allowance: Allowance,
        code: &str,
    ) -> Result<Script, Vec<ScriptFault>> {
        if code.len() > limits.text {
            let message = "the script is longer than `script_limits.text` allows";
            return Err(vec![fault(SYNTAX, message, None, Position::NONE)]);
        }
        let ast = parse(engine, code).map_err(|fault| vec![fault])?;
        let mut faults = Vec::new();
        check_top_level(&ast, &mut faults);
        let constants = if faults.is_empty() {
            evaluate_constants(engine, allowance, &ast).map_err(|fault| vec![fault])?
        } else {
            Scope::new()
        };
        let mut found = Walk::new(&self.functions, &ast, &constants).through(&ast, code);
        faults.append(&mut found.faults);
        if !faults.is_empty() {
            faults.sort_by_key(|fault| (fault.line, fault.column));
            faults.dedup();
            return Err(faults);
        }
        let constants = constants
            .iter_raw()
            .map(|(name, _, value)| (name.into(), value.clone().into_read_only().into_shared()))
            .collect();
        let facts = Arc::new(Facts {
            constants,
            changes: found.changes,
        });
        Ok(Script {
            analysis: found.analysis,
            body: Body::Rhai { ast, facts },
        })
    }
}

/// The syntax tree, or the one fault. A defect of the parser must not take the process down.
fn parse(engine: &Engine, code: &str) -> Result<AST, ScriptFault> {
    let Ok(parsed) = catch_unwind(AssertUnwindSafe(|| engine.compile(code))) else {
        let message = "the script makes its parser fail";
        return Err(fault(SYNTAX, message, None, Position::NONE));
    };
    parsed.map_err(|error| match javascript::sign(code) {
        Some(sign) => ScriptFault {
            code: SYNTAX,
            message: syntax_message(error.err_type()),
            hint: Some(javascript::hint(sign.text)),
            line: sign.line,
            column: sign.column,
        },
        None => {
            let message = syntax_message(error.err_type());
            if *error.err_type() == ParseErrorType::ExprTooDeep {
                let hint = "give parts of it names with `let`, or move some into a function";
                return fault(SYNTAX, message, Some(hint.to_owned()), error.position());
            }
            let off = DISABLED_WORDS
                .into_iter()
                .find(|word| error.err_type().to_string().contains(&format!("'{word}'")));
            let hint = off.map(|word| format!("`{word}` is off in handlers"));
            fault(SYNTAX, message, hint, error.position())
        }
    })
}

fn check_top_level(ast: &AST, faults: &mut Vec<ScriptFault>) {
    for statement in ast.statements() {
        let allowed = match statement {
            Stmt::Noop(_) => true,
            Stmt::Var(_, flags, _) => flags.intersects(ASTFlags::CONSTANT),
            _ => false,
        };
        if !allowed {
            faults.push(fault(
                TOP_LEVEL,
                "a statement stands outside functions, where nothing runs it",
                Some(
                    "put it into a handler, such as `fn before_action() { … }`; only functions and \
                     `const` may stand outside"
                        .to_owned(),
                ),
                statement.position(),
            ));
        }
    }
}

/// Evaluates the top level, known to be constants only, under a call's own limits.
fn evaluate_constants<'a>(
    engine: &Engine,
    allowance: Allowance,
    ast: &AST,
) -> Result<Scope<'a>, ScriptFault> {
    let mut scope = Scope::new();
    if ast.statements().is_empty() {
        return Ok(scope);
    }
    let failed = |message: String| fault(FAILED, message, None, Position::NONE);
    let Some(_metered) = Metered::begin(allowance) else {
        return Err(failed(
            "a script cannot be read while another runs".to_owned(),
        ));
    };
    let run = catch_unwind(AssertUnwindSafe(|| {
        engine.run_ast_with_scope(&mut scope, ast)
    }));
    match run {
        Ok(Ok(())) => Ok(scope),
        Ok(Err(error)) => {
            let error = translate(*error, &[]);
            Err(ScriptFault {
                code: FAILED,
                message: format!("a constant cannot be evaluated: {}", error.message),
                hint: error.hint,
                line: error.line.unwrap_or(1),
                column: error.column.unwrap_or(1),
            })
        }
        Err(_) => Err(failed("a constant makes the engine fail".to_owned())),
    }
}
