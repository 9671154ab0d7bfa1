"""Chains and groups of tasks, in Python and in files of several documents."""

import pytest

from skynb.errors import SpecError
from skynb.spec import Dag, Task, load_dag


def test_tasks_in_the_block_are_collected():
    """`with Dag()` takes the tasks made inside it, and `>>` orders them; outside nothing is taken."""
    with Dag("d") as dag:
        first, then = Task("a"), Task.from_yaml_str("name: b")
        first >> then
    Task("c")
    assert dag.tasks == [first, then]
    assert dag.edges == ((first, then),)
    assert dag.is_chain()
    assert not dag.is_job_group()
    with pytest.raises(SpecError):
        first >> then


def test_graphs():
    """Edges stay inside, close no circle, and go with their task."""
    dag = Dag()
    a, b, c = (Task(name) for name in "abc")
    for task in (a, b, c, a):
        dag.add(task)
    assert len(dag) == 3
    dag.add_edge(a, b)
    dag.add_edge(b, c)
    with pytest.raises(SpecError, match="circle"):
        dag.add_edge(c, a)
    with pytest.raises(SpecError, match="not in this Dag"):
        dag.add_edge(a, Task("d"))
    dag.remove(b)
    assert dag.edges == ()
    assert not dag.is_chain()
    with pytest.raises(SpecError, match="chain"):
        dag.to_yaml()


def test_a_chain_is_written_in_its_order():
    """The order of the edges, not of adding, is the order in the file."""
    with Dag("d") as dag:
        last, first = Task("z"), Task("a")
        first >> last
    again = load_dag(dag.to_yaml())
    assert [task.name for task in again] == ["a", "z"]
    assert again.name == "d"
    assert again.is_chain()


def test_group():
    """A group knows which jobs are primary and how long the others stay."""
    dag = load_dag("""
name: g
execution: parallel
primary_tasks: [a]
termination_delay: {default: 10s, c: 1m}
---
name: a
---
name: b
---
name: c
""")
    assert dag.is_job_group()
    assert not dag.is_chain()
    assert dag.get_auxiliary_task_names() == ["b", "c"]
    assert [dag.get_termination_delay_secs(name) for name in "bc"] == [10, 60]
    again = load_dag(dag.to_yaml())
    assert again.to_yaml() == dag.to_yaml()
    assert load_dag("execution: parallel\n---\nname: a").is_primary_task("a")


def test_one_document(tmp_path):
    """One document is a Dag of one task, from a text, a path, or a path's text."""
    path = tmp_path / "x.yml"
    path.write_text("name: t\nenvs: {A: null}")
    for source in (path, str(path), path.read_text()):
        dag = load_dag(source, env_overrides={"A": "1"})
        assert dag.name == "t"
        assert dag.tasks[0].envs["A"] == "1"
    assert load_dag("name: x").tasks[0].name == "x"
    with pytest.raises(SpecError, match="cannot be read"):
        load_dag("missing.yaml")


def test_empty_documents_are_nothing():
    """Separators at the ends make no tasks."""
    assert len(load_dag("---\nrun: a\n---\n---\nrun: x\n---\n")) == 2
