//! `cyclr_xml_deserialize`: XML as an object, by the mapping that Json.NET has (see `xml_write`).
//!
//! An element that holds only text is that text, one that holds nothing is null (`<a/>`) or an empty
//! text (`<a></a>`), any other an object; elements of one name beside each other are a list. Comments
//! and processing instructions are left out. There is no DTD and no entity but XML's own five, so no
//! document can name a file or unfold into more than it says.

use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use velodrome_types::{Json, JsonMap};

use super::FunctionFault;
use super::bounds::{Bounds, MAX_ELEMENTS};
use super::entry::Args;
use super::xml_name::{is_allowed, is_name};
use super::xml_write::is_blank;
use crate::errors::lower_first;

pub(super) fn deserialize(args: Args<'_>, bounds: Bounds) -> Result<Json, FunctionFault> {
    let text = args.text(0, "xml")?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader::from_str(text);
    let mut tree = Tree {
        args,
        bounds,
        document: JsonMap::new(),
        has_root: false,
        open: Vec::new(),
    };
    loop {
        let at = reader.buffer_position();
        let event = reader
            .read_event()
            .map_err(|error| tree.no_xml(error, reader.error_position()))?;
        let begins = at == 0;
        match event {
            Event::Start(start) => tree.start(&start, at)?,
            Event::Empty(start) => {
                tree.start(&start, at)?;
                tree.end(true)?;
            }
            Event::End(_) => tree.end(false)?,
            Event::Text(text) => tree.text(&text.xml10_content(), false, at)?,
            Event::GeneralRef(reference) => tree.reference(&reference, at)?,
            Event::CData(text) => tree.cdata(&text.xml10_content(), at)?,
            Event::Decl(_) if !begins => {
                return Err(tree.no_xml("the declaration does not stand at the beginning", at));
            }
            Event::Decl(declaration) => {
                let content = declaration.into_owned();
                tree.declaration(&content, at)?;
            }
            Event::DocType(_) => {
                return Err(args.refused(
                    "the XML has a `<!DOCTYPE …>`, which is not read: what it declares could name \
                     files or unfold without end; take it out before",
                ));
            }
            Event::Comment(_) | Event::PI(_) => {}
            Event::Eof => break,
        }
    }
    tree.finish()
}

/// An element whose end has not come.
struct Open {
    name: String,
    fields: JsonMap,
    /// The one text, while nothing else is in it.
    alone: Option<String>,
    /// Text that is being gathered, and whether it is more than blanks between elements.
    text: String,
    solid: bool,
}

struct Tree<'a> {
    args: Args<'a>,
    bounds: Bounds,
    document: JsonMap,
    has_root: bool,
    open: Vec<Open>,
}

impl Tree<'_> {
    fn no_xml(&self, why: impl std::fmt::Display, at: u64) -> FunctionFault {
        let why = lower_first(&why.to_string());
        self.args
            .refused(format_args!("no XML at byte {at}: {why}"))
    }

    fn start(&mut self, start: &BytesStart<'_>, at: u64) -> Result<(), FunctionFault> {
        self.flush()?;
        if self.open.is_empty() && self.has_root {
            return Err(self.no_xml("there is more than one root element", at));
        }
        if self.open.len() >= MAX_ELEMENTS {
            return Err(self.args.refused(format_args!(
                "elements stand more than {MAX_ELEMENTS} levels within each other"
            )));
        }
        self.has_root = true;
        let name = name_of(start).to_owned();
        if !is_name(&name) {
            return Err(self.no_xml("an element has no proper name", at));
        }
        let mut fields = JsonMap::new();
        // The library looks for repeated names by comparing each with all before it.
        for attribute in start.attributes().with_checks(false) {
            let attribute = attribute.map_err(|error| self.no_xml(error, at))?;
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(|error| self.no_xml(error, at))?;
            let name = attribute.key.as_ref();
            if !is_name(name) || !value.chars().all(is_allowed) || attribute.value.contains('<') {
                return Err(self.no_xml("an attribute is not written as XML has it", at));
            }
            let name = format!("@{name}");
            self.bounds.field(name.len())?;
            self.bounds.text(value.len())?;
            if fields
                .insert(name, Json::String(value.into_owned()))
                .is_some()
            {
                return Err(self.no_xml("an attribute stands twice in one element", at));
            }
        }
        self.open.push(Open {
            name,
            fields,
            alone: None,
            text: String::new(),
            solid: false,
        });
        Ok(())
    }

    fn text(&mut self, text: &str, solid: bool, at: u64) -> Result<(), FunctionFault> {
        if !text.chars().all(is_allowed) {
            return Err(self.no_xml("a character stands in it that XML does not allow", at));
        }
        let blank = !solid && text.chars().all(is_blank);
        let Some(open) = self.open.last_mut() else {
            return match blank {
                true => Ok(()),
                false => Err(self.no_xml("text stands outside the root element", at)),
            };
        };
        open.text.push_str(text);
        open.solid |= !blank;
        Ok(())
    }

    fn reference(&mut self, reference: &BytesRef<'_>, at: u64) -> Result<(), FunctionFault> {
        let number = reference
            .resolve_char_ref()
            .map_err(|error| self.no_xml(error, at))?;
        let mut buffer = [0; 4];
        let text = match (number, &**reference) {
            (Some(letter), _) => &*letter.encode_utf8(&mut buffer),
            (None, "amp") => "&",
            (None, "lt") => "<",
            (None, "gt") => ">",
            (None, "quot") => "\"",
            (None, "apos") => "'",
            (None, _) => {
                return Err(self.no_xml("it refers to an entity that XML itself has not", at));
            }
        };
        self.text(text, true, at)
    }

    fn cdata(&mut self, text: &str, at: u64) -> Result<(), FunctionFault> {
        self.flush()?;
        if self.open.is_empty() || !text.chars().all(is_allowed) {
            return Err(self.no_xml("a CDATA section stands where or as it may not", at));
        }
        self.bounds.text(text.len())?;
        self.child("#cdata-section", Json::String(text.to_owned()))
    }

    fn declaration(
        &mut self,
        declaration: &quick_xml::events::BytesDecl<'_>,
        at: u64,
    ) -> Result<(), FunctionFault> {
        let mut fields = JsonMap::new();
        let mut put = |name: &str, value: &str| {
            fields.insert(name.to_owned(), Json::String(value.to_owned()));
        };
        let version = declaration
            .version()
            .map_err(|error| self.no_xml(error, at))?;
        put("@version", &version);
        if let Some(encoding) = declaration.encoding() {
            put(
                "@encoding",
                &encoding.map_err(|error| self.no_xml(error, at))?,
            );
        }
        if let Some(standalone) = declaration.standalone() {
            put(
                "@standalone",
                &standalone.map_err(|error| self.no_xml(error, at))?,
            );
        }
        let length: usize = fields.values().filter_map(Json::as_str).map(str::len).sum();
        self.bounds.items(fields.len() + 1)?;
        self.bounds.text(length)?;
        self.document
            .insert("?xml".to_owned(), Json::Object(fields));
        Ok(())
    }

    /// Ends a stretch of text: blanks between elements are none.
    fn flush(&mut self) -> Result<(), FunctionFault> {
        let Some(open) = self.open.last_mut() else {
            return Ok(());
        };
        let text = std::mem::take(&mut open.text);
        if !std::mem::take(&mut open.solid) {
            return Ok(());
        }
        self.bounds.text(text.len())?;
        if open.fields.is_empty() && open.alone.is_none() {
            open.alone = Some(text);
            return Ok(());
        }
        self.child("#text", Json::String(text))
    }

    /// Adds a child to the innermost open element; to one of its name it becomes a list with it.
    fn child(&mut self, name: &str, value: Json) -> Result<(), FunctionFault> {
        let Some(open) = self.open.last_mut() else {
            self.document.insert(name.to_owned(), value);
            return Ok(());
        };
        if let Some(text) = open.alone.take() {
            self.bounds.field("#text".len())?;
            open.fields.insert("#text".to_owned(), Json::String(text));
        }
        self.bounds.field(name.len())?;
        match open.fields.get_mut(name) {
            None => {
                open.fields.insert(name.to_owned(), value);
            }
            Some(Json::Array(items)) => items.push(value),
            Some(first) => {
                let first_value = first.take();
                *first = Json::Array(vec![first_value, value]);
            }
        }
        Ok(())
    }

    /// The innermost open element has ended. That its end names it is the library's to see.
    fn end(&mut self, empty: bool) -> Result<(), FunctionFault> {
        self.flush()?;
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let value = match open.alone {
            Some(text) => Json::String(text),
            None if !open.fields.is_empty() => Json::Object(open.fields),
            None if empty => Json::Null,
            None => Json::String(String::new()),
        };
        self.child(&open.name, value)
    }

    fn finish(self) -> Result<Json, FunctionFault> {
        if let Some(open) = self.open.last() {
            let name: String = open.name.chars().take(60).collect();
            return Err(self
                .args
                .refused(format_args!("no XML: the element `{name}` has no end")));
        }
        if !self.has_root {
            return Err(self.args.refused("no XML: there is no element in it"));
        }
        Ok(Json::Object(self.document))
    }
}

fn name_of<'a>(start: &'a BytesStart<'_>) -> &'a str {
    start.name().into_inner()
}
