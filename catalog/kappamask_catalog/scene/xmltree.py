"""Building XML trees in one expression."""

from pathlib import Path

from lxml import etree

XSI = "http://www.w3.org/2001/XMLSchema-instance"
GML = "http://www.opengis.net/gml"
GML_3_2 = "http://www.opengis.net/gml/3.2"

# lxml has no public type for elements that its stubs and its code agree on.
Node = etree._Element


def node(tag: str, *content: "Node | str | float", **attributes: str | int) -> Node:
    """An element with text or children, in order; attribute order is that of the call.

    Args:
        tag: name, with `{namespace}` in front where it has one.
        content: child elements, or one text or number.
        attributes: unqualified attributes.
    """
    element = etree.Element(tag)
    for name, value in attributes.items():
        element.set(name, str(value))
    for item in content:
        if isinstance(item, (str, int, float)):
            element.text = (element.text or "") + str(item)
        else:
            element.append(item)
    return element


def root(tag: str, namespaces: dict[str, str], *content: Node, **attributes: str | int) -> Node:
    """The outermost element, which declares the namespaces of the document."""
    element = etree.Element(tag, nsmap=namespaces)
    for name, value in attributes.items():
        element.set(name, str(value))
    element.extend(content)
    return element


def psd_root(schema: str, tag: str, *content: Node) -> Node:
    """The outermost element of a product metadata file.

    Args:
        schema: file name of the schema in version 14 of the product specification.
        tag: local name.
        content: children.
    """
    namespace = f"https://psd-14.sentinel2.eo.esa.int/PSD/{schema}"
    element = root(f"{{{namespace}}}{tag}", {"n1": namespace, "xsi": XSI}, *content)
    element.set(f"{{{XSI}}}schemaLocation", f"{namespace} {namespace}")
    for child in element:
        # The sections right below the root are qualified, all that is in them is not.
        child.tag = f"{{{namespace}}}{child.tag}"
    return element


def write_xml(element: Node, path: Path) -> None:
    """Write a document in UTF-8 with indentation; makes the folders it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    etree.cleanup_namespaces(element, keep_ns_prefixes=["n1", "xsi", "gml", "safe", "xfdu"])
    etree.indent(element, "  ")
    tree = etree.ElementTree(element)
    tree.write(str(path), encoding="UTF-8", xml_declaration=True, standalone=False)
