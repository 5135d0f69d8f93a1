//! `cyclr_xml_serialize`: an object as XML, by the mapping that Json.NET has.
//!
//! A field is an element of its name, a list one element an item, `@x` the attribute `x` of the element
//! around it, `#text` its text, `#cdata-section` its CDATA, null an empty element. `?xml` before the one
//! root makes the declaration. Nothing is invented: what has no place in XML is a fault.

use velodrome_types::{Json, JsonMap};

use super::FunctionFault;
use super::bounds::{Bounds, MAX_ELEMENTS};
use super::entry::{Args, kind};
use super::xml_name::{is_allowed, is_name};

pub(super) fn serialize(args: Args<'_>, bounds: Bounds) -> Result<Json, FunctionFault> {
    let document = match args.get(0) {
        Some(Json::Object(fields)) => fields,
        given => {
            let given = given.map_or("nothing", kind);
            return Err(args.refused(format_args!(
                "what becomes XML must be an object with one field, the root element, not {given}"
            )));
        }
    };
    let mut writer = Writer {
        args,
        bounds,
        out: String::new(),
    };
    let mut roots = document.iter().filter(|(name, _)| *name != "?xml");
    let (Some((name, root)), None) = (roots.next(), roots.next()) else {
        return Err(args
            .refused("XML has one root element, so the object must have one field beside `?xml`"));
    };
    if let Json::Array(_) = root {
        return Err(args.refused(format_args!(
            "the root element `{}` cannot be a list: put the list into a field of it",
            shown(name)
        )));
    }
    if let Some(declaration) = document.get("?xml") {
        writer.declaration(declaration)?;
    }
    writer.element(name, root, 0)?;
    Ok(Json::String(writer.out))
}

struct Writer<'a> {
    args: Args<'a>,
    bounds: Bounds,
    out: String,
}

impl Writer<'_> {
    fn put(&mut self, part: &str) -> Result<(), FunctionFault> {
        self.bounds.text(part.len())?;
        self.out.push_str(part);
        Ok(())
    }

    fn declaration(&mut self, declaration: &Json) -> Result<(), FunctionFault> {
        let wrong = || {
            self.args.refused(
                "`?xml` must be an object with `@version` and, if wanted, `@encoding` and `@standalone`",
            )
        };
        let fields = declaration.as_object().ok_or_else(wrong)?;
        let known = ["@version", "@encoding", "@standalone"];
        if !fields.keys().all(|name| known.contains(&name.as_str())) {
            return Err(wrong());
        }
        let version = fields.get("@version").ok_or_else(wrong)?;
        self.put("<?xml")?;
        self.attribute("version", version)?;
        for name in ["encoding", "standalone"] {
            if let Some(value) = fields.get(&format!("@{name}")) {
                self.attribute(name, value)?;
            }
        }
        self.put("?>")
    }

    fn element(&mut self, name: &str, value: &Json, depth: usize) -> Result<(), FunctionFault> {
        if !is_name(name) {
            return Err(self.args.refused(format_args!(
                "`{}` cannot be the name of an element",
                shown(name)
            )));
        }
        if depth >= MAX_ELEMENTS {
            return Err(self.args.refused(format_args!(
                "elements stand more than {MAX_ELEMENTS} levels within each other"
            )));
        }
        self.put("<")?;
        self.put(name)?;
        match value {
            Json::Null => return self.put("/>"),
            Json::Object(fields) => {
                for (field, value) in fields {
                    if let Some(attribute) = field.strip_prefix('@') {
                        self.attribute(attribute, value)?;
                    }
                }
                if fields.keys().all(|field| field.starts_with('@')) {
                    return self.put("/>");
                }
                self.put(">")?;
                self.children(fields, depth)?;
            }
            other => {
                self.put(">")?;
                self.text(name, other)?;
            }
        }
        self.put("</")?;
        self.put(name)?;
        self.put(">")
    }

    fn children(&mut self, fields: &JsonMap, depth: usize) -> Result<(), FunctionFault> {
        for (name, value) in fields {
            if name.starts_with('@') {
                continue;
            }
            let items = match value {
                Json::Array(items) => items.as_slice(),
                one => std::slice::from_ref(one),
            };
            for item in items {
                match (name.as_str(), item) {
                    (_, Json::Array(_)) => {
                        return Err(self.args.refused(format_args!(
                            "`{}` holds a list within a list, which XML has not: give the inner \
                             one a name",
                            shown(name)
                        )));
                    }
                    ("#text", text) => self.text(name, text)?,
                    ("#cdata-section", text) => self.cdata(text)?,
                    _ => self.element(name, item, depth + 1)?,
                }
            }
        }
        Ok(())
    }

    fn attribute(&mut self, name: &str, value: &Json) -> Result<(), FunctionFault> {
        if !is_name(name) {
            return Err(self.args.refused(format_args!(
                "`{}` cannot be the name of an attribute",
                shown(name)
            )));
        }
        let text = self.scalar(name, value)?;
        self.put(" ")?;
        self.put(name)?;
        self.put("=\"")?;
        self.escaped(&text, |letter| matches!(letter, '"' | '\t' | '\n'))?;
        self.put("\"")
    }

    fn text(&mut self, name: &str, value: &Json) -> Result<(), FunctionFault> {
        let text = self.scalar(name, value)?;
        // Readers drop text that is nothing but blanks; written by number it is kept.
        let blank = text.chars().all(is_blank);
        self.escaped(&text, |letter| blank && is_blank(letter))
    }

    fn cdata(&mut self, value: &Json) -> Result<(), FunctionFault> {
        let text = self.scalar("#cdata-section", value)?;
        if let Some(bad) = text.chars().find(|letter| !is_allowed(*letter)) {
            return Err(self.forbidden(bad));
        }
        self.put("<![CDATA[")?;
        self.put(&text.replace("]]>", "]]]]><![CDATA[>"))?;
        self.put("]]>")
    }

    /// The text of what is neither an object nor a list.
    fn scalar(&self, name: &str, value: &Json) -> Result<String, FunctionFault> {
        match value {
            Json::Null => Ok(String::new()),
            Json::String(text) => Ok(text.clone()),
            Json::Bool(_) | Json::Number(_) => Ok(value.to_string()),
            Json::Array(_) | Json::Object(_) => Err(self.args.refused(format_args!(
                "`{}` must be a text, a number or a boolean, not {}",
                shown(name),
                kind(value)
            ))),
        }
    }

    /// Text with all escaped that could be taken for markup, or that `also` names.
    fn escaped(&mut self, text: &str, also: impl Fn(char) -> bool) -> Result<(), FunctionFault> {
        let mut plain = 0;
        for (at, letter) in text.char_indices() {
            if !is_allowed(letter) {
                return Err(self.forbidden(letter));
            }
            let number;
            let entity = match letter {
                '&' => "&amp;",
                '<' => "&lt;",
                '>' => "&gt;",
                '"' if also('"') => "&quot;",
                _ if letter == '\r' || also(letter) => {
                    number = format!("&#{};", u32::from(letter));
                    &number
                }
                _ => continue,
            };
            self.put(&text[plain..at])?;
            self.put(entity)?;
            plain = at + letter.len_utf8();
        }
        self.put(&text[plain..])
    }

    fn forbidden(&self, letter: char) -> FunctionFault {
        self.args.refused(format_args!(
            "XML cannot hold the character `{}`: take it out before",
            letter.escape_debug()
        ))
    }
}

/// What readers take for no text.
pub(super) const fn is_blank(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\r' | '\n')
}

/// A name as it may be shown.
fn shown(name: &str) -> String {
    name.chars().take(60).flat_map(char::escape_debug).collect()
}
