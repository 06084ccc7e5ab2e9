"""What ``kubectl kustomize`` makes of our folders, for machines without it: the few things that they use, no others.

Names of generated ConfigMaps come without the digest that kustomize appends.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]

MERGED_BY = {"containers": "name", "volumes": "name", "env": "name", "volumeMounts": "mountPath"}
"""Lists that a patch merges with, and by what; it replaces any other (as Kubernetes' strategic merge does)."""


class Rendered:
    """The objects of a folder with a ``kustomization.yaml``."""

    def __init__(self, folder: Path) -> None:
        self.objects: list[Object] = []
        self._take(folder)

    def one(self, kind: str, name: str) -> Object:
        """The only object of that kind and name."""
        (found,) = [each for each in self.objects if (each["kind"], each["metadata"]["name"]) == (kind, name)]
        return found

    def _take(self, folder: Path) -> None:
        said = yaml.safe_load((folder / "kustomization.yaml").read_text())
        steps: dict[str, Callable[[Path, Any], None]] = {
            "resources": self._resources,
            "components": self._resources,
            "configMapGenerator": self._config_maps,
            "patches": self._patches,
            "images": self._images,
            "labels": self._labels,
            "namespace": self._namespace,
        }
        if unknown := said.keys() - steps.keys() - {"apiVersion", "kind"}:
            raise NotImplementedError(f"{folder}: {sorted(unknown)}")
        for name, step in steps.items():
            if name in said:
                step(folder, said[name])

    def _resources(self, folder: Path, names: list[str]) -> None:
        for name in names:
            if (folder / name).is_dir():
                self._take((folder / name).resolve())
            else:
                self.objects += documents(folder / name)

    def _config_maps(self, folder: Path, wanted: list[Object]) -> None:
        for each in wanted:
            data = {name: (folder / name).read_text() for name in each["files"]}
            if each.get("behavior") == "replace":
                self.one("ConfigMap", each["name"])["data"] = data
            else:
                metadata = {"name": each["name"]}
                self.objects.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})

    def _patches(self, folder: Path, patches: list[Object]) -> None:
        for patch in patches:
            for part in yaml.safe_load_all(patch["patch"]) if "patch" in patch else documents(folder / patch["path"]):
                target = self.one(part["kind"], part["metadata"]["name"])
                merged = _merged(target, part)
                target.clear()
                target.update(merged)

    def _images(self, _: Path, images: list[Object]) -> None:
        known = {image["name"]: f"{image['newName']}:{image['newTag']}" for image in images}
        for template in self.templates():
            for container in template["spec"]["containers"]:
                container["image"] = known.get(container["image"], container["image"])

    def _labels(self, _: Path, labels: list[Object]) -> None:
        for each in labels:
            for labelled in [*self.objects, *(self.templates() if each.get("includeTemplates") else ())]:
                labelled["metadata"].setdefault("labels", {}).update(each["pairs"])

    def _namespace(self, _: Path, namespace: str) -> None:
        for each in self.objects:
            each["metadata"]["namespace"] = namespace

    def templates(self) -> Iterator[Object]:
        """The pods' templates."""
        for each in self.objects:
            if "template" in each.get("spec", {}):
                yield each["spec"]["template"]


def documents(file: Path) -> list[Object]:
    """What is in a file, but for empty documents."""
    return [each for each in yaml.safe_load_all(file.read_text()) if each]


def _merged(base: Any, patch: Any, key: str = "") -> Any:
    if isinstance(base, dict) and isinstance(patch, dict):
        merged = copy.deepcopy(base)
        for name, value in patch.items():
            if value is None:
                merged.pop(name, None)
            else:
                merged[name] = _merged(merged.get(name), value, name)
        return merged
    if isinstance(base, list) and key in MERGED_BY:
        by = MERGED_BY[key]
        patches = {each[by]: each for each in patch}
        kept = [_merged(each, patches.pop(each[by])) if each[by] in patches else each for each in base]
        return [*patches.values(), *kept]
    return patch
