//! Reads a script without running it: what is in it, and everything that is wrong with it.
//!
//! Names, calls and keys come from the engine's own syntax tree: a lexer of ours would have to know
//! again what shadows what, and where texts interpolate. Functions carry no place in that tree; where
//! one must be pointed at, its name is looked up in the text.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rhai::{AST, ASTFlags, ASTNode, Dynamic, Engine, Expr, FnCallExpr, Position, Scope, Stmt};
use velodrome_spec::ScriptFault;
use velodrome_spec::plan::ScriptAnalysis;

use crate::errors::{FAILED, NOT_YET, SYNTAX, place, syntax_message, translate};
use crate::general_fns;
use crate::hints::did_you_mean;
use crate::limits::{DISABLED_WORDS, ScriptLimits};
use crate::meter::{Allowance, Metered};
use crate::script::{Facts, Script};
use crate::storage_fns::{self, Access};
use crate::vars::Var;
use crate::words::definition;
use crate::{closures, javascript};

/// A function that nothing defines.
const UNKNOWN_FUNCTION: &str = "script.unknown_function";
/// A variable that nothing defines.
const UNKNOWN_VARIABLE: &str = "script.unknown_variable";
/// A variable that scripts cannot change.
const READ_ONLY: &str = "script.read_only";
/// A handler with parameters, or one whose name is nearly a handler's.
const HANDLER: &str = "script.handler";
/// A statement outside functions.
const TOP_LEVEL: &str = "script.top_level";
/// A function without a name where it may not stand.
const CLOSURE: &str = "script.closure";

/// Every handler that something calls by name.
const HANDLERS: [&str; 13] = [
    "before_webhook",
    "after_webhook",
    "before_action",
    "after_action",
    "after_action_paging",
    "after_error",
    "action_condition",
    "run",
    "before_oauth2_authorise",
    "before_oauth2_token",
    "after_oauth2_token",
    "before_oauth2_refresh",
    "after_oauth2_refresh",
];

/// Functions that the engine handles itself rather than registers.
const BUILT_IN: [&str; 8] = [
    "Fn",
    "call",
    "curry",
    "debug",
    "is_def_fn",
    "is_def_var",
    "is_shared",
    "print",
];

/// A fault of something that is known and not there yet.
pub(crate) fn not_yet(message: impl Into<String>) -> ScriptFault {
    fault(NOT_YET, message, None, Position::NONE)
}

fn fault(
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
        for gone in ["sleep", "curry"] {
            functions.remove(gone);
        }
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
        let mut walk = Walk {
            known: &self.functions,
            own: ast.iter_functions().map(|def| def.name.to_owned()).collect(),
            constants: &constants,
            analysis: ScriptAnalysis::default(),
            changes: [false; Var::COUNT],
            called: BTreeSet::new(),
            faults,
        };
        ast.walk(&mut |path| {
            walk.visit(path);
            true
        });
        walk.handlers(&ast, code);
        let Walk {
            analysis,
            changes,
            mut faults,
            ..
        } = walk;
        if !faults.is_empty() {
            faults.sort_by_key(|fault| (fault.line, fault.column));
            faults.dedup();
            return Err(faults);
        }
        let constants = constants
            .iter_raw()
            .map(|(name, _, value)| (name.into(), value.clone().into_read_only().into_shared()))
            .collect();
        Ok(Script {
            ast,
            analysis,
            facts: Arc::new(Facts { constants, changes }),
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
            let off = DISABLED_WORDS
                .into_iter()
                .find(|word| message.contains(&format!("`{word}`")));
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
        return Err(failed("a script cannot be read while another runs".to_owned()));
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

/// What is found on the way through the tree.
struct Walk<'a> {
    known: &'a BTreeSet<String>,
    own: BTreeSet<String>,
    constants: &'a Scope<'a>,
    analysis: ScriptAnalysis,
    changes: [bool; Var::COUNT],
    called: BTreeSet<String>,
    faults: Vec<ScriptFault>,
}

impl Walk<'_> {
    fn visit(&mut self, path: &[ASTNode<'_>]) {
        if closures::is_misplaced(path) {
            self.misplaced_closure(path);
        }
        match path.last() {
            Some(ASTNode::Expr(Expr::FnCall(call, at) | Expr::MethodCall(call, at)))
            | Some(ASTNode::Stmt(Stmt::FnCall(call, at))) => self.call(call, *at),
            Some(ASTNode::Expr(Expr::Variable(variable, short_index, at))) => {
                let (index, name, namespace, _) = &**variable;
                let local = index.is_some() || short_index.is_some();
                if !namespace.is_empty() {
                    let message = format!("there is no module to take `{name}` from");
                    self.faults
                        .push(fault(UNKNOWN_VARIABLE, message, None, *at));
                } else if !local {
                    self.variable(name, path, *at);
                }
            }
            // The engine's walk passes over the value of a `break`.
            Some(ASTNode::Stmt(Stmt::BreakLoop(Some(value), ..))) => {
                value.walk(&mut Vec::new(), &mut |inner| {
                    self.visit(inner);
                    true
                });
            }
            _ => {}
        }
    }

    fn misplaced_closure(&mut self, path: &[ASTNode<'_>]) {
        let at = match path.last() {
            Some(ASTNode::Expr(expr)) => expr.position(),
            _ => Position::NONE,
        };
        self.faults.push(fault(
            CLOSURE,
            "a function without a name can only be an argument of a list's functions",
            Some(
                "write it where it is used, such as `records.filter(|r| r.id == id)`, or give it a \
                 name with `fn`"
                    .to_owned(),
            ),
            at,
        ));
    }

    fn call(&mut self, call: &FnCallExpr, at: Position) {
        let name = call.name.as_str();
        if !name.starts_with(|c: char| c.is_alphabetic() || c == '_') || call.op_token.is_some() {
            return;
        }
        self.called.insert(name.to_owned());
        if general_fns::NOT_YET.contains(&name) {
            let message = format!("`{name}` is not there yet");
            self.faults.push(fault(NOT_YET, message, None, at));
        } else if !call.namespace.is_empty() {
            let message = format!("there is no module to take `{name}` from");
            self.faults.push(fault(UNKNOWN_FUNCTION, message, None, at));
        } else if let Some((family, access)) = storage_fns::of_name(name) {
            if access != Access::Keyless
                && let Some(key) = call.args.first().and_then(|key| self.literal(key))
            {
                let key = (family.as_str().to_owned(), key);
                if access.reads() {
                    self.analysis.reads.insert(key.clone());
                }
                if access.writes() {
                    self.analysis.writes.insert(key);
                }
            }
        } else if name != "curry" && !self.known.contains(name) && !self.own.contains(name) {
            let known = self.known.iter().chain(&self.own).map(String::as_str);
            let hint =
                did_you_mean(name, known).map(|meant| format!("did you mean `{meant}`?"));
            let message = format!("there is no function `{name}`");
            self.faults.push(fault(UNKNOWN_FUNCTION, message, hint, at));
        }
    }

    /// The text of a literal, or of a constant that stands for one.
    fn literal(&self, expr: &Expr) -> Option<String> {
        match expr {
            Expr::StringConstant(text, _) => Some(text.to_string()),
            Expr::IntegerConstant(number, _) => Some(number.to_string()),
            Expr::Variable(variable, None, _) if variable.0.is_none() => {
                let value = self.constants.get_value::<Dynamic>(&variable.1)?;
                let text = value.as_immutable_string_ref().ok()?;
                Some(text.to_string())
            }
            _ => None,
        }
    }

    fn variable(&mut self, name: &str, path: &[ASTNode<'_>], at: Position) {
        let Some(var) = Var::find(name) else {
            if !self.constants.contains(name) && !self.own.contains(name) {
                let known = Var::ALL.iter().map(|var| var.as_str());
                let known = known.chain(self.constants.iter_raw().map(|(name, ..)| name));
                let hint =
                    did_you_mean(name, known).map(|meant| format!("did you mean `{meant}`?"));
                let message = format!("there is no variable `{name}`");
                self.faults.push(fault(UNKNOWN_VARIABLE, message, hint, at));
            }
            return;
        };
        self.analysis.names.insert(name.to_owned());
        match use_of(path) {
            Use::Assigned if !var.is_writable() => {
                let message = format!("`{name}` cannot be changed");
                self.faults.push(fault(READ_ONLY, message, None, at));
            }
            Use::Assigned | Use::MaybeChanged => self.changes[var as usize] = true,
            Use::Read => {}
        }
    }

    fn handlers(&mut self, ast: &AST, code: &str) {
        for function in ast.iter_functions() {
            let name = function.name;
            let (line, column) = definition(code, name).unwrap_or((1, 1));
            let at = |code, message, hint| ScriptFault {
                code,
                message,
                hint,
                line,
                column,
            };
            if HANDLERS.contains(&name) {
                if function.params.is_empty() {
                    self.analysis.handlers.insert(name.to_owned());
                } else {
                    let message = format!("the handler `{name}` takes no parameters");
                    let hint = "what it works on is in variables such as `method_response`";
                    self.faults.push(at(HANDLER, message, Some(hint.to_owned())));
                }
            } else if function.params.is_empty()
                && !self.called.contains(name)
                && let Some(meant) = did_you_mean(name, HANDLERS)
            {
                let message = format!("nothing calls `{name}`");
                let hint = format!("did you mean the handler `{meant}`?");
                self.faults.push(at(HANDLER, message, Some(hint)));
            }
        }
    }
}

/// What happens to a variable where it stands.
enum Use {
    Read,
    Assigned,
    MaybeChanged,
}

/// Looks up from a variable: through the fields and places of it that are named, to what is done there.
/// A method may change what it is called on. As an argument a variable is copied.
fn use_of(path: &[ASTNode<'_>]) -> Use {
    let mut nodes = path.iter().rev();
    let Some(&ASTNode::Expr(mut top)) = nodes.next() else {
        return Use::Read;
    };
    for node in nodes {
        match *node {
            ASTNode::Expr(chain @ (Expr::Dot(parts, ..) | Expr::Index(parts, ..)))
                if std::ptr::eq(&parts.lhs, top) =>
            {
                if calls_a_method(&parts.rhs) {
                    return Use::MaybeChanged;
                }
                top = chain;
            }
            ASTNode::Stmt(Stmt::Assignment(parts)) if std::ptr::eq(&parts.1.lhs, top) => {
                return Use::Assigned;
            }
            _ => return Use::Read,
        }
    }
    Use::Read
}

fn calls_a_method(chain: &Expr) -> bool {
    match chain {
        Expr::MethodCall(..) => true,
        Expr::Dot(parts, ..) | Expr::Index(parts, ..) => {
            calls_a_method(&parts.lhs) || calls_a_method(&parts.rhs)
        }
        _ => false,
    }
}
