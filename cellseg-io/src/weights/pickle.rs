//! A pickle reader that cannot do anything.
//!
//! A pickle is a program for a stack machine whose instructions can name any Python function and have it
//! called. This machine knows the instructions that PyTorch's checkpoints use, and builds a graph of nodes
//! from them; a call is a node like any other and is never made. Nodes refer to each other by number, so a
//! node taken from the memo a million times costs a million numbers, and the memory used is linear in the
//! length of the pickle.

use std::collections::HashMap;

/// The number of a node.
pub(super) type Id = u32;

/// A Python object, as far as weights need it.
#[derive(Debug)]
pub(super) enum Node {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A function or class, by its full name.
    Global(String),
    /// What calling a function with arguments would have given.
    Call(Id, Id),
    /// A reference to something outside of the pickle: in PyTorch's files, a storage.
    Persistent(Id),
    /// Bytes, huge integers and other things that are skipped.
    Opaque,
}

/// No state of a network comes near; each node takes 32 bytes.
const MOST_NODES: usize = 4_000_000;

/// No name of a class or function is longer.
const LONGEST_NAME: usize = 200;

/// Runs the pickle; gives all nodes and the number of the result.
pub(super) fn parse(bytes: &[u8]) -> Result<(Vec<Node>, Id), String> {
    let mut machine =
        Machine { bytes, nodes: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
    let root = machine.run()?;
    Ok((machine.nodes, root))
}

struct Machine<'a> {
    /// What has not been read yet.
    bytes: &'a [u8],
    nodes: Vec<Node>,
    stack: Vec<Id>,
    /// The heights of the stack at its marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Id, String> {
        loop {
            match self.array::<1>()?[0] {
                // PROTO, FRAME, STOP
                0x80 => {
                    let [version] = self.array()?;
                    if version > 5 {
                        return Err(format!("pickle protocol {version} is unknown"));
                    }
                }
                0x95 => drop(self.array::<8>()?),
                b'.' => return self.pop(),
                // MARK, POP, POP_MARK
                b'(' => self.marks.push(self.stack.len()),
                b'0' => drop(self.pop()?),
                b'1' => drop(self.pop_mark()?),
                // GLOBAL, STACK_GLOBAL
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.push_global(module, name)?;
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    match (&self.nodes[module as usize], &self.nodes[name as usize]) {
                        (Node::Text(module), Node::Text(name)) => {
                            let (module, name) = (bounded(module)?.to_owned(), bounded(name)?.to_owned());
                            self.push_global(&module, &name)?;
                        }
                        _ => return Err("a function is named by something that is no text".into()),
                    }
                }
                // NONE, NEWTRUE, NEWFALSE
                b'N' => self.push(Node::None)?,
                0x88 => self.push(Node::Bool(true))?,
                0x89 => self.push(Node::Bool(false))?,
                // BININT, BININT1, BININT2, LONG1, BINFLOAT
                b'J' => {
                    let value = i32::from_le_bytes(self.array()?);
                    self.push(Node::Int(value.into()))?;
                }
                b'K' => {
                    let [value] = self.array()?;
                    self.push(Node::Int(value.into()))?;
                }
                b'M' => {
                    let value = u16::from_le_bytes(self.array()?);
                    self.push(Node::Int(value.into()))?;
                }
                0x8a => self.push_long()?,
                b'G' => {
                    let value = f64::from_be_bytes(self.array()?);
                    self.push(Node::Float(value))?;
                }
                // BINUNICODE, SHORT_BINUNICODE
                b'X' => {
                    let length = u32::from_le_bytes(self.array()?);
                    self.push_text(length)?;
                }
                0x8c => {
                    let [length] = self.array()?;
                    self.push_text(length.into())?;
                }
                // SHORT_BINSTRING, SHORT_BINBYTES, BINSTRING, BINBYTES
                b'U' | b'C' => {
                    let [length] = self.array()?;
                    self.take(length.into())?;
                    self.push(Node::Opaque)?;
                }
                b'T' | b'B' => {
                    let length = u32::from_le_bytes(self.array()?);
                    self.take(length as usize)?;
                    self.push(Node::Opaque)?;
                }
                // EMPTY_TUPLE, EMPTY_LIST, EMPTY_DICT, EMPTY_SET
                b')' => self.push(Node::Tuple(Vec::new()))?,
                b']' => self.push(Node::List(Vec::new()))?,
                b'}' => self.push(Node::Dict(Vec::new()))?,
                0x8f => self.push(Node::List(Vec::new()))?,
                // TUPLE1, TUPLE2, TUPLE3, TUPLE, LIST, DICT
                count @ 0x85..=0x87 => {
                    let mut items = (0..count - 0x84).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
                    items.reverse();
                    self.push(Node::Tuple(items))?;
                }
                b't' => {
                    let items = self.pop_mark()?;
                    self.push(Node::Tuple(items))?;
                }
                b'l' => {
                    let items = self.pop_mark()?;
                    self.push(Node::List(items))?;
                }
                b'd' => {
                    let items = self.pop_mark()?;
                    self.push(Node::Dict(Vec::new()))?;
                    self.insert(&items)?;
                }
                // APPEND, APPENDS, ADDITEMS, SETITEM, SETITEMS
                b'a' => {
                    let item = self.pop()?;
                    self.append(&[item])?;
                }
                b'e' | 0x90 => {
                    let items = self.pop_mark()?;
                    self.append(&items)?;
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.insert(&[key, value])?;
                }
                b'u' => {
                    let items = self.pop_mark()?;
                    self.insert(&items)?;
                }
                // BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET
                b'q' => {
                    let [key] = self.array()?;
                    self.memoize(key.into())?;
                }
                b'r' => {
                    let key = u32::from_le_bytes(self.array()?);
                    self.memoize(key)?;
                }
                0x94 => self.memoize(self.memo.len() as u32)?,
                b'h' => {
                    let [key] = self.array()?;
                    self.recall(key.into())?;
                }
                b'j' => {
                    let key = u32::from_le_bytes(self.array()?);
                    self.recall(key)?;
                }
                // BINPERSID, REDUCE, NEWOBJ, BUILD
                b'Q' => {
                    let id = self.pop()?;
                    self.push(Node::Persistent(id))?;
                }
                b'R' | 0x81 => self.call()?,
                // The state of an object: that of an OrderedDict holds versions of modules, no weights.
                b'b' => drop(self.pop()?),
                other => return Err(format!("the pickle instruction 0x{other:02x} has no place in weights")),
            }
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or("the pickle ends too early")?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (&taken, rest) = self.bytes.split_first_chunk().ok_or("the pickle ends too early")?;
        self.bytes = rest;
        Ok(taken)
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let length = self.bytes.iter().take(LONGEST_NAME + 1).position(|&byte| byte == b'\n');
        let line = self.take(length.ok_or("the name of a function is too long")?)?;
        self.take(1)?;
        std::str::from_utf8(line).map_err(|_| "the name of a function is no text".into())
    }

    fn push(&mut self, node: Node) -> Result<(), String> {
        if self.nodes.len() == MOST_NODES {
            return Err(format!("the pickle holds more than {MOST_NODES} objects"));
        }
        self.stack.push(self.nodes.len() as Id);
        self.nodes.push(node);
        Ok(())
    }

    fn push_global(&mut self, module: &str, name: &str) -> Result<(), String> {
        let name = format!("{module}.{name}");
        if !is_harmless(&name) {
            return Err(format!(
                "its pickle wants `{name}`, which weights have no use for and which is not called"
            ));
        }
        self.push(Node::Global(name))
    }

    fn push_text(&mut self, length: u32) -> Result<(), String> {
        let text = std::str::from_utf8(self.take(length as usize)?).map_err(|_| "a text is not in UTF-8")?;
        self.push(Node::Text(text.to_owned()))
    }

    /// Pushes an integer of up to 255 bytes; those beyond 64 bits are of no interest.
    fn push_long(&mut self) -> Result<(), String> {
        let [length] = self.array()?;
        let bytes = self.take(length.into())?;
        if bytes.len() > 8 {
            return self.push(Node::Opaque);
        }
        let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        self.push(Node::Int(i64::from_le_bytes(wide)))
    }

    fn pop(&mut self) -> Result<Id, String> {
        if self.marks.last().is_some_and(|&mark| self.stack.len() <= mark) {
            return Err("the pickle takes more than it has put down".into());
        }
        self.stack.pop().ok_or_else(|| "the pickle takes more than it has put down".into())
    }

    /// Everything above the last mark.
    fn pop_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len());
        Ok(self.stack.split_off(mark.ok_or("the pickle has no mark where it needs one")?))
    }

    fn top(&self) -> Result<Id, String> {
        self.stack.last().copied().ok_or_else(|| "the pickle takes more than it has put down".into())
    }

    fn memoize(&mut self, key: u32) -> Result<(), String> {
        self.memo.insert(key, self.top()?);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<(), String> {
        self.stack.push(*self.memo.get(&key).ok_or("the pickle recalls what it has not kept")?);
        Ok(())
    }

    fn append(&mut self, items: &[Id]) -> Result<(), String> {
        let top = self.top()?;
        match &mut self.nodes[top as usize] {
            Node::List(list) => list.extend(items),
            Node::Call(..) | Node::Opaque => {}
            _ => return Err("the pickle appends to something that is no list".into()),
        }
        Ok(())
    }

    fn insert(&mut self, items: &[Id]) -> Result<(), String> {
        let top = self.top()?;
        let (pairs, rest) = items.as_chunks::<2>();
        match &mut self.nodes[top as usize] {
            Node::Dict(dict) if rest.is_empty() => {
                dict.extend(pairs.iter().map(|&[key, value]| (key, value)))
            }
            Node::Call(..) | Node::Opaque if rest.is_empty() => {}
            _ => return Err("the pickle inserts into something that is no dictionary".into()),
        }
        Ok(())
    }

    /// Notes a call; only what is sure to be a dictionary becomes one.
    fn call(&mut self) -> Result<(), String> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        match &self.nodes[function as usize] {
            Node::Global(name) if name == "collections.OrderedDict" => self.push(Node::Dict(Vec::new())),
            _ => self.push(Node::Call(function, arguments)),
        }
    }
}

fn bounded(name: &str) -> Result<&str, String> {
    if name.len() <= LONGEST_NAME { Ok(name) } else { Err("the name of a function is too long".into()) }
}

/// Whether a name is one of those that PyTorch's checkpoints of weights, optimisers and settings contain.
///
/// None of them is called; but a file that names others is not what it is taken for, and its reader should
/// know.
fn is_harmless(name: &str) -> bool {
    let allowed = [
        "collections.OrderedDict",
        "collections.defaultdict",
        "collections.Counter",
        "torch._utils._rebuild_tensor",
        "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_parameter",
        "torch._utils._rebuild_parameter_with_state",
        "torch._tensor._rebuild_from_type_v2",
        "torch.nn.parameter.Parameter",
        "torch.serialization._get_layout",
        "numpy.dtype",
        "numpy.ndarray",
        "numpy.core.multiarray.scalar",
        "numpy.core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
        "numpy._core.multiarray._reconstruct",
        "_codecs.encode",
        "argparse.Namespace",
        "pathlib.Path",
        "pathlib.PosixPath",
        "pathlib.WindowsPath",
    ];
    let types = [
        "int",
        "float",
        "bool",
        "complex",
        "str",
        "bytes",
        "bytearray",
        "list",
        "tuple",
        "dict",
        "set",
        "slice",
    ];
    // `torch.FloatStorage`, `torch.float32`, `torch.Size`, `torch.device`: names directly in torch, no
    // function of its modules.
    let in_torch = name.strip_prefix("torch.").is_some_and(|name| {
        name.ends_with("Storage") && !name.contains('.')
            || ["Size", "device", "Tensor"].contains(&name)
            || ["float", "bfloat", "int", "uint", "bool", "complex"].iter().any(|kind| {
                name.strip_prefix(kind).is_some_and(|bits| bits.bytes().all(|byte| byte.is_ascii_digit()))
            })
    });
    let builtin = ["builtins.", "__builtin__."]
        .iter()
        .any(|module| name.strip_prefix(module).is_some_and(|name| types.contains(&name)));
    allowed.contains(&name) || in_torch || builtin
}
