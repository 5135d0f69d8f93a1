//! As much of protocol buffers as an `ExportTraceServiceRequest` is read by: fields by number, in their order.
//!
//! A reader of its own, so that the test holds against the format and not against the library that wrote it.

/// A message's fields.
pub(crate) struct Message<'a>(&'a [u8]);

/// A field's value.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Message<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn fields(&self) -> Vec<(u64, Value<'a>)> {
        let mut rest = self.0;
        let mut fields = Vec::new();
        while !rest.is_empty() {
            let key = varint(&mut rest);
            let value = match key & 7 {
                0 => Value::Number(varint(&mut rest)),
                1 => {
                    let (fixed, behind) = rest.split_first_chunk::<8>().expect("eight bytes");
                    rest = behind;
                    Value::Number(u64::from_le_bytes(*fixed))
                }
                2 => {
                    let length = usize::try_from(varint(&mut rest)).expect("a length");
                    let (bytes, behind) = rest.split_at(length);
                    rest = behind;
                    Value::Bytes(bytes)
                }
                5 => {
                    let (fixed, behind) = rest.split_first_chunk::<4>().expect("four bytes");
                    rest = behind;
                    Value::Number(u64::from(u32::from_le_bytes(*fixed)))
                }
                other => panic!("{other} is no wire type that is written today"),
            };
            fields.push((key >> 3, value));
        }
        fields
    }

    pub(crate) fn bytes(&self, number: u64) -> Vec<&'a [u8]> {
        let fields = self.fields().into_iter();
        fields
            .filter_map(|(field, value)| match value {
                Value::Bytes(bytes) if field == number => Some(bytes),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn messages(&self, number: u64) -> Vec<Message<'a>> {
        self.bytes(number).into_iter().map(Message).collect()
    }

    pub(crate) fn message(&self, number: u64) -> Option<Message<'a>> {
        self.messages(number).pop()
    }

    pub(crate) fn text(&self, number: u64) -> String {
        let bytes = self.bytes(number).pop().unwrap_or_default();
        String::from_utf8(bytes.to_vec()).expect("a text")
    }

    pub(crate) fn hex(&self, number: u64) -> String {
        let bytes = self.bytes(number).pop().unwrap_or_default();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn number(&self, number: u64) -> Option<u64> {
        let mut fields = self.fields().into_iter().rev();
        fields.find_map(|(field, value)| match value {
            Value::Number(value) if field == number => Some(value),
            _ => None,
        })
    }
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, behind) = rest.split_first().expect("a number ends");
        *rest = behind;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return value;
        }
    }
    panic!("a number of more than 64 bits")
}
