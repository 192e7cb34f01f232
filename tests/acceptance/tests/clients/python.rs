//! Libraries and programs of Python; the steps are in `clients/*.py`.

use super::*;

#[test]
fn boto3() {
    let server = server();
    let script = package_folder().join("clients/boto3_tour.py");
    let tour = Tool::new(&venv_program("python").unwrap()).arg(script);
    let said = tour.aws(&server.keys().unwrap(), server.scratch()).run().unwrap();
    print!("{said}");
    assert!(said.ends_with("all steps passed\n"), "{said}");
}

#[test]
fn minio() {
    let server = server();
    let script = package_folder().join("clients/minio_tour.py");
    let tour = Tool::new(&venv_program("python").unwrap()).arg(script);
    let said = tour.aws(&server.keys().unwrap(), server.scratch()).run().unwrap();
    assert!(said.ends_with("all steps passed\n"), "{said}");
}

#[test]
fn openstackclient() {
    let server = server();
    let script = package_folder().join("clients/openstack_tour.py");
    let tour = Tool::new(&venv_program("python").unwrap()).arg(script).clean_home(server.scratch());
    let openrc = server.openrc().unwrap();
    let said = openrc.iter().fold(tour, |tour, (name, value)| tour.env(name, value)).run().unwrap();
    print!("{said}");
    assert!(said.ends_with("all steps passed\n"), "{said}");
}
