"""What `any_of`, `ordered` and several accelerators unfold to."""

import copy
import inspect
import pickle

from skynb.spec import Resources


def spelt(resources):
    ordered, items = resources.alternatives()
    return ordered, [item.to_yaml_config() for item in items]


def test_one_choice_is_itself():
    """Resources without alternatives are their own single choice."""
    resources = Resources(infra="aws", accelerators="A100")
    assert resources.alternatives() == (False, (resources,))


def test_items_replace_and_labels_merge():
    """An item's fields replace those of the base, except labels, which are merged."""
    resources = Resources(
        cpus=4, labels={"a": "1", "b": "1"}, ordered=[{"cpus": 8}, {"labels": {"b": "2"}, "use_spot": True}]
    )
    assert spelt(resources) == (
        True,
        [
            {"cpus": 8, "labels": {"a": "1", "b": "1"}},
            {"cpus": 4, "use_spot": True, "labels": {"a": "1", "b": "2"}},
        ],
    )


def test_any_of_and_accelerators_multiply():
    """Unordered accelerators of the base are tried on every item that names none."""
    resources = Resources(accelerators={"A": 1, "B": 2}, any_of=[{"infra": "aws"}, {"accelerators": "C"}])
    assert spelt(resources) == (
        False,
        [
            {"infra": "aws", "accelerators": "A:1"},
            {"infra": "aws", "accelerators": "B:2"},
            {"accelerators": "C:1"},
        ],
    )


def test_listed_accelerators_are_ordered():
    """A list of accelerators is an order, with one choice for each."""
    assert spelt(Resources(accelerators=["B", "A"])) == (
        True,
        [{"accelerators": "B:1"}, {"accelerators": "A:1"}],
    )


def test_a_narrower_place_of_the_base_goes_with_its_cloud():
    """An item that moves to another cloud or region does not keep the zone of the base."""
    base = Resources(
        infra="aws/us-east-1/us-east-1a", any_of=[{"cloud": "gcp"}, {"region": "us-west-2"}, {"cpus": 2}]
    )
    assert [str(item.infra) for item in base.alternatives()[1]] == [
        "gcp",
        "aws/us-west-2",
        "aws/us-east-1/us-east-1a",
    ]


def test_overrides_reach_every_alternative():
    """What an override sets, no alternative unsets."""
    resources = Resources(any_of=[{"use_spot": True, "infra": "aws/a"}, {"cpus": 2, "region": "b"}])
    changed = resources.overridden({"use_spot": False, "infra": "gcp"})
    labelled = Resources(any_of=[{"labels": {"a": "1", "b": "1"}}]).overridden({"labels": {"a": "2"}})
    assert dict(labelled.alternatives()[1][0].labels) == {"a": "2", "b": "1"}
    assert all(not item.use_spot and str(item.infra) == "gcp" for item in changed.alternatives()[1])


def test_equality_hash_copy_and_pickle():
    """Resources are values: equal by content, hashable, and the same after copying and pickling."""
    first = Resources(gpus="A100", autostop=5, image_id={None: "x"}, labels={"a": "1", "b": "2"})
    second = Resources(
        labels={"b": "2", "a": "1"}, accelerators={"A100": 1}, autostop="5m", image_id={"*": "x"}
    )
    assert first == second
    assert len({first, second, copy.deepcopy(first), pickle.loads(pickle.dumps(first))}) == 1
    assert first != Resources(accelerators="A100:2")


def test_a_notebook_can_show_the_keywords():
    """Shift-tab on Resources( lists the fields."""
    assert {"infra", "accelerators", "any_of"} <= set(inspect.signature(Resources).parameters)
    assert Resources(gpus="A100").accelerators[0].name == "A100"


def test_parsed_values_are_taken_as_well():
    """What an attribute gives can be given to another Resources."""
    first = Resources(
        infra="aws/x", cpus="4+", accelerators=["A", "B"], autostop={"idle_minutes": 3}, memory="2x"
    )
    second = Resources(
        infra=first.infra,
        cpus=first.cpus,
        accelerators=first.accelerators,
        autostop=first.autostop,
        memory=first.memory,
    )
    assert first == second


def test_any_place_lifts_the_place_of_the_base():
    """`*` in an item, or an override, means any, and is not the same as saying nothing."""
    base = Resources(infra="aws/us-east-1", any_of=[{"region": "*"}, {"infra": "*"}, {"cloud": "*"}])
    assert [str(item.infra) for item in base.alternatives()[1]] == ["aws", "*", "*"]
    assert str(Resources(cloud="AWS", region="*", zone="a").infra) == "aws/*/a"
