//! What a protocol file fixes on the wire, one line per fact.

use std::collections::BTreeSet;
use std::path::Path;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    ServiceDescriptorProto,
};

/// All facts of one file; not its comments and options.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Facts(BTreeSet<String>);

impl Facts {
    /// Reads a file, which imports nothing but what protobuf itself brings.
    pub(crate) fn read(file: &Path) -> Facts {
        let directory = file.parent().expect("a file has a directory");
        let set = protox::compile([file], [directory]).expect("a protocol file");
        let name = file.file_name().expect("a file has a name");
        let file = set
            .file
            .iter()
            .find(|found| Path::new(found.name()) == name);
        let mut facts = Facts(BTreeSet::new());
        facts.add_file(file.expect("the file is in its own set"));
        facts
    }

    /// The facts that `other` has not.
    pub(crate) fn without<'a>(&'a self, other: &'a Facts) -> Vec<&'a str> {
        self.0.difference(&other.0).map(String::as_str).collect()
    }

    fn add_file(&mut self, file: &FileDescriptorProto) {
        let package = file.package();
        for message in &file.message_type {
            self.add_message(package, message);
        }
        for values in &file.enum_type {
            self.add_enum(package, values);
        }
        for service in &file.service {
            self.add_service(package, service);
        }
    }

    fn add_message(&mut self, scope: &str, message: &DescriptorProto) {
        let name = format!("{scope}.{}", message.name());
        for field in &message.field {
            let oneof = field.oneof_index.and_then(|index| {
                let index = usize::try_from(index).ok()?;
                message.oneof_decl.get(index)
            });
            let oneof = oneof.map(|oneof| format!(" of {}", oneof.name()));
            let what = describe(field);
            self.0
                .insert(format!("{name} {what}{}", oneof.unwrap_or_default()));
        }
        for nested in &message.nested_type {
            self.add_message(&name, nested);
        }
        for values in &message.enum_type {
            self.add_enum(&name, values);
        }
        self.0.insert(name);
    }

    fn add_enum(&mut self, scope: &str, values: &EnumDescriptorProto) {
        let name = values.name();
        for value in &values.value {
            let (number, word) = (value.number(), value.name());
            self.0.insert(format!("{scope}.{name} {number} {word}"));
        }
    }

    fn add_service(&mut self, scope: &str, service: &ServiceDescriptorProto) {
        let name = service.name();
        for method in &service.method {
            let streams = (method.client_streaming(), method.server_streaming());
            self.0.insert(format!(
                "{scope}.{name}.{} {} -> {} {streams:?}",
                method.name(),
                method.input_type(),
                method.output_type(),
            ));
        }
    }
}

/// `3 parameters: repeated .csi.v1.X.ParametersEntry`
fn describe(field: &FieldDescriptorProto) -> String {
    let repeated = match field.label() {
        Label::Repeated => "repeated ",
        Label::Optional | Label::Required => "",
    };
    let kind = match field.r#type() {
        Type::Message | Type::Enum => field.type_name().to_owned(),
        scalar => scalar
            .as_str_name()
            .trim_start_matches("TYPE_")
            .to_lowercase(),
    };
    format!("{} {}: {repeated}{kind}", field.number(), field.name())
}
